#include <algorithm>

#include "adapter/gate.h"
#include "adapter/poly_adapter.h"
#include "base/error.h"
#include "bench/cases.h"
#include "comm/communicator.h"
#include "eval/generate.h"
#include "train/recipe.h"
#include "train/skills.h"
#include "train/trainer.h"

namespace gaggle {
namespace {

// A rank trains for itself, as the workers of a job do.
struct Training {
  std::unique_ptr<Trainable> adapter;
  std::unique_ptr<Communicator> alone = make_self();
  std::unique_ptr<Trainer> trainer;
};

Runner training_step(const SharedSubject& subject, const std::string& kind, const std::vector<Sample>& samples,
                     int64_t tasks) {
  StepSettings settings = training_phase(subject->config.train, subject->config.run.seed, 1e-3, 1).step;
  settings.tokens_per_microbatch = int64_t{1} << 40;  // the batch is one micro-batch
  const auto training = std::make_shared<Training>();
  training->adapter = training_adapter(*subject, kind, subject->lora);
  training->trainer = std::make_unique<Trainer>(subject->base, *training->adapter, *training->alone, settings, tasks);
  // A rate of 0: every run does the same work on the same values.
  return {[subject, training, &samples] {
    training->adapter->begin_step(0);
    training->trainer->step(samples, 0);
  }};
}

void add_training(std::vector<BenchCase>& cases, const SharedSubject& subject) {
  for (const std::string kind : {"expert", "gate", "poly", "mhr"}) {
    const bool skills = kind == "poly" || kind == "mhr";
    const Microbatch& batch = skills ? subject->mixed_batch : subject->batch;
    cases.push_back(
        {"steps", kind + " step", {training_work(*subject, batch)}, static_cast<double>(batch.token_count()), [=] {
           return training_step(subject, kind, skills ? subject->mixed : subject->samples, skills ? subject->tasks : 1);
         }});
  }
}

Runner scoring_pass(const SharedSubject& subject, const Microbatch& batch, std::shared_ptr<SiteAdapter> adapter) {
  return {
      [subject, &batch, adapter] { subject->base.nll(subject->base.forward(batch, adapter.get(), nullptr), batch); }};
}

void add_scoring(std::vector<BenchCase>& cases, const SharedSubject& subject, const std::string& name,
                 const Microbatch& batch) {
  cases.push_back(
      {"steps", name, {forward_work(*subject, batch)}, static_cast<double>(batch.token_count()), [subject, &batch] {
         return scoring_pass(subject, batch, nullptr);
       }});
}

void add_routed_scoring(std::vector<BenchCase>& cases, const SharedSubject& subject, int64_t experts) {
  const EvalConfig& eval = subject->config.eval;
  const int64_t k = eval.top_k == 0 ? experts : eval.top_k;
  std::vector<Work> work = {forward_work(*subject, subject->batch)};
  for (const LoraSite& s : subject->lora) {
    work.push_back(score_work(*subject, s.site, experts));
    work.push_back(pairs_work(*subject, s, experts, k));
  }
  const auto collection = std::make_shared<RoutedCollection>();  // of both methods, made for the first
  const Scoring scoring = eval.arrow == "phatgoose" ? Scoring::arrow_phatgoose : Scoring::arrow_mttl;
  for (const bool arrow : {false, true})
    cases.push_back({"steps", fmt::format("scoring {} N={}", arrow ? "arrow" : "phatgoose", experts), work,
                     static_cast<double>(subject->batch.token_count()), [=] {
                       if (collection->names.empty()) *collection = random_collection(*subject, subject->lora, experts);
                       return scoring_pass(
                           subject, subject->batch,
                           arrow ? make_arrow(*collection, scoring, k) : make_phatgoose(*collection, k));
                     }});
}

// Prompts in one pass, then a pass for each new token of all of them.
std::vector<Work> generation_work(const BenchSubject& subject, int64_t new_tokens) {
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
  Work first = forward_work(subject, prompts);
  first.flop += 2 * rows * head;
  std::vector<Work> work(static_cast<size_t>(new_tokens), {2 * rows * weights, subject.element() * weights});
  work[0] = first;
  return work;
}

void add_generation(std::vector<BenchCase>& cases, const SharedSubject& subject) {
  GenerateOptions options;
  options.max_new_tokens = std::min<int64_t>(subject->config.eval.max_new_tokens, 32);
  options.token_budget = int64_t{1} << 40;
  const auto tokens = static_cast<double>(options.max_new_tokens) * static_cast<double>(subject->examples.size());
  cases.push_back({"steps", "generation", generation_work(*subject, options.max_new_tokens), tokens, [=] {
                     std::vector<GeneratePrompt> prompts;
                     for (const TokenExample& example : subject->examples)
                       prompts.push_back({example.source, example.input});
                     return Runner{[=] { generate(subject->base, nullptr, prompts, options); }};
                   }});
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
  std::vector<BenchCase> cases;
  add_training(cases, subject);
  add_scoring(cases, subject, "scoring base alone", subject->batch);
  add_scoring(cases, subject, "scoring one long row", subject->long_row);
  for (const int64_t n : experts) add_routed_scoring(cases, subject, n);
  add_generation(cases, subject);
  return cases;
}

}  // namespace gaggle
