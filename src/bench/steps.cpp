#include <algorithm>

#include "adapter/gate.h"
#include "adapter/poly_adapter.h"
#include "base/log.h"
#include "bench/cases.h"
#include "comm/communicator.h"
#include "eval/generate.h"
#include "train/recipe.h"
#include "train/skills.h"
#include "train/trainer.h"

namespace gaggle {
namespace {

// Every expert's direction at every site is a singular vector: for more experts these take minutes.
constexpr int64_t most_arrow_experts = 64;

// A rank trains for itself, as the workers of a job do.
struct Training {
  std::unique_ptr<Trainable> adapter;
  std::unique_ptr<Communicator> alone = make_self();
  std::unique_ptr<Trainer> trainer;
};

std::shared_ptr<Training> made(const SharedSubject& subject, const std::string& kind, int64_t tasks) {
  StepSettings settings = training_phase(subject->config.train, subject->config.run.seed, 1e-3, 1).step;
  settings.tokens_per_microbatch = int64_t{1} << 40;  // the batch is one micro-batch
  const auto training = std::make_shared<Training>();
  training->adapter = training_adapter(*subject, kind, subject->lora);
  training->trainer = std::make_unique<Trainer>(subject->base, *training->adapter, *training->alone, settings, tasks);
  return training;
}

Runner training_step(const SharedSubject& subject, const std::string& kind, const std::vector<Sample>& samples,
                     int64_t tasks) {
  const std::shared_ptr<Training> training = made(subject, kind, tasks);
  // A rate of 0: every run does the same work on the same values.
  return {[subject, training, &samples] {
    training->adapter->begin_step(0);
    training->trainer->step(samples, 0);
  }};
}

// n experts, each with its share of the batch: one after the other, or in one pass (train.pack).
Runner experts_step(const SharedSubject& subject, size_t n, bool together) {
  std::vector<std::shared_ptr<Training>> experts;
  for (size_t i = 0; i < n; ++i) experts.push_back(made(subject, "expert", 1));
  return {[subject, experts, n, together] {
    std::vector<StepPart> parts;
    for (size_t i = 0; i < n; ++i) {
      const size_t begin = i * subject->samples.size() / n, end = (i + 1) * subject->samples.size() / n;
      experts[i]->adapter->begin_step(0);
      parts.push_back({*experts[i]->trainer, std::span(subject->samples).subspan(begin, end - begin), 0});
    }
    if (together) return static_cast<void>(step_together(parts, StepStatus::ok));
    for (const StepPart& part : parts) step_together({&part, 1}, StepStatus::ok);
  }};
}

void add_packs(CaseList& list) {
  for (const size_t n : {4, 16}) {
    if (n > list.subject->samples.size()) continue;
    for (const bool together : {false, true})
      list.add(fmt::format("{} experts {}", n, together ? "in a pack" : "one by one"),
               {training_work(*list.subject, list.subject->batch)}, list.subject->batch.token_count(),
               [=, s = list.subject] { return experts_step(s, n, together); });
  }
}

void add_training(CaseList& list) {
  for (const std::string kind : training_kinds) {
    const bool skills = mixes_skills(kind);
    const Microbatch& batch = skills ? list.subject->mixed_batch : list.subject->batch;
    list.add(kind + " step", {training_work(*list.subject, batch)}, batch.token_count(), [=, s = list.subject] {
      return training_step(s, kind, skills ? s->mixed : s->samples, skills ? s->tasks : 1);
    });
  }
}

Runner scoring_pass(const SharedSubject& subject, const Microbatch& batch, std::shared_ptr<SiteAdapter> adapter) {
  return {
      [subject, &batch, adapter] { subject->base.nll(subject->base.forward(batch, adapter.get(), nullptr), batch); }};
}

void add_scoring(CaseList& list, const std::string& name, const Microbatch& batch) {
  list.add(name, {forward_work(*list.subject, batch)}, batch.token_count(),
           [&batch, s = list.subject] { return scoring_pass(s, batch, nullptr); });
}

void add_routed_scoring(CaseList& list, int64_t experts) {
  const EvalConfig& eval = list.subject->config.eval;
  const int64_t k = eval.top_k == 0 ? experts : eval.top_k;
  BenchWork work = forward_work(*list.subject, list.subject->batch);
  for (const LoraSite& at : list.subject->lora)
    for (const BenchWork& more :
         {score_work(*list.subject, at.site, experts), pairs_work(*list.subject, at, experts, k)})
      work.flop += more.flop, work.bytes += more.bytes;
  const auto collection = std::make_shared<RoutedCollection>();  // of both methods, made for the first
  const Scoring scoring = eval.arrow == "phatgoose" ? Scoring::arrow_phatgoose : Scoring::arrow_mttl;
  for (const bool arrow : {false, true}) {
    if (arrow && experts > most_arrow_experts) {
      log::info("scoring arrow N={} is left out: it goes up to {}", experts, most_arrow_experts);
      continue;
    }
    list.add(fmt::format("scoring {} N={}", arrow ? "arrow" : "phatgoose", experts), {work},
             list.subject->batch.token_count(), [=, s = list.subject] {
               if (collection->names.empty()) *collection = random_collection(*s, s->lora, experts);
               return scoring_pass(s, s->batch,
                                   arrow ? make_arrow(*collection, scoring, k) : make_phatgoose(*collection, k));
             });
  }
}

// Prompts in one pass, then a pass for each new token of all of them.
std::vector<BenchWork> generation_work(const BenchSubject& subject, int64_t new_tokens) {
  Microbatch prompts;
  for (const TokenExample& example : subject.examples) {
    append_sequence(prompts.decoder, example.input);
    if (!example.source.empty()) append_sequence(prompts.encoder, example.source);
    if (!example.source.empty()) prompts.sources.push_back(prompts.encoder.sequences() - 1);
  }
  const ModelSpec& spec = subject.base.spec();
  const auto rows = static_cast<double>(subject.examples.size());
  const auto head = static_cast<double>(spec.vocab * spec.hidden);
  const double weights = static_cast<double>(subject.base.linear_weights(Side::decoder)) + head;
  BenchWork first = forward_work(subject, prompts);
  first.flop += 2 * rows * head;
  std::vector<BenchWork> work(static_cast<size_t>(new_tokens), {2 * rows * weights, subject.element() * weights});
  work[0] = first;
  return work;
}

void add_generation(CaseList& list) {
  GenerateOptions options = generate_options(list.subject->config.eval);
  options.beams = 1;
  options.token_budget = int64_t{1} << 40;  // the prompts are one batch
  const auto rows = static_cast<int64_t>(list.subject->examples.size());
  list.add("generation", generation_work(*list.subject, options.max_new_tokens), rows * options.max_new_tokens,
           [=, s = list.subject] {
             std::vector<GeneratePrompt> prompts;
             for (const TokenExample& example : s->examples) prompts.push_back({example.source, example.input});
             return Runner{[=] { generate(s->base, nullptr, prompts, options); }};
           });
}

}  // namespace

std::unique_ptr<Trainable> training_adapter(const BenchSubject& subject, const std::string& kind,
                                            const std::vector<LoraSite>& sites) {
  const BaseModel& base = subject.base;
  const auto wide = at::TensorOptions().dtype(at::kFloat);
  if (kind == "expert" || kind == "gate") {
    const at::Tensor lora = random_values({lora_layout(sites).size()}, wide, "bench lora", 0, 0.01);
    if (kind == "gate") return std::make_unique<GateAdapter>(sites, lora, base.dtype(), base.device());
    return std::make_unique<LoraAdapter>(sites, std::vector{lora}, base.dtype(), base.device());
  }
  PolyConfig poly = subject.config.poly;
  poly.method = kind;
  poly.adapter = "lora";
  if (kind == "poly") poly.heads = 1;
  PolySpec spec = poly_spec(poly, subject.config.lora.targets, base.sites(), subject.tasks);
  std::erase_if(spec.sites, [&](const LoraSite& s) {
    return std::ranges::find(sites, s.site.index, [](const LoraSite& wanted) { return wanted.site.index; }) ==
           sites.end();
  });
  const at::Tensor values = random_values({poly_layout(spec).size()}, wide, "bench skills", 0, 0.01);
  return make_skill_adapter(spec, values, sampled_routing(poly, subject.config.run.seed), base.dtype(), base.device());
}

std::vector<BenchCase> step_cases(const SharedSubject& subject, const std::vector<int64_t>& experts) {
  CaseList list{"steps", subject};
  add_training(list);
  add_packs(list);
  add_scoring(list, "scoring base alone", subject->batch);
  add_scoring(list, "scoring one long row", subject->long_row);
  for (const int64_t n : experts) add_routed_scoring(list, n);
  add_generation(list);
  return std::move(list.cases);
}

}  // namespace gaggle
