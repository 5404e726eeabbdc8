// What gaggle adapt works on.
#include <algorithm>

#include "base/error.h"
#include "base/names.h"
#include "base/sha256.h"
#include "eval/choices.h"
#include "workflow/adapt.h"
#include "workflow/try_scoring.h"

namespace gaggle {
namespace {

// What changes a score besides the adapter and the task's examples.
nlohmann::json score_json(const AdaptJob& job, size_t index) {
  const TokenTask& task = job.tasks[index];
  nlohmann::json json = {{"split", split_names[static_cast<size_t>(job.split)]},
                         {"limit_rows", job.config().eval.limit_examples},
                         {"metric", task.metric},
                         {"end", task.end_id}};
  const EvalConfig& eval = job.config().eval;
  const auto scored = std::span(task.examples(job.split)).first(job.scored_examples(index));
  const std::string rule = choice_rule(eval, task, scored, job.tokenizer, job.context.base.spec().decoder_start);
  if (!rule.empty()) json["choices"] = rule;
  if (!is_of_generated(task.metric)) return json;
  if (task.metric == "rouge_l" && eval.stem) json["stem"] = true;
  json["max_new_tokens"] = eval.max_new_tokens;
  if (eval.beams > 1) {
    json["beams"] = eval.beams;
    json["length_penalty"] = eval.length_penalty;
  }
  return json;
}

AdaptItem base_item(const AdaptJob& job, size_t t) {
  const TokenTask& task = job.tasks[t];
  const nlohmann::json json = {
      {"model", {{"content", job.context.base.content_digest()}, {"dtype", dtype_text(job.context.base.dtype())}}},
      {"data", {{"task", task.name}, {"rows", task.digest}}},
      {"score", score_json(job, t)}};
  return {task.name + ".base", sha256_hex(json.dump()), t, 0, std::nullopt};
}

// Sequences that an example is trained as: with its wrong choices where the loss looks at them.
std::vector<TokenExample> fed_sequences_of(const TokenTask& few, bool tfew) {
  std::vector<TokenExample> examples;
  for (const TokenExample& example : few.examples(Split::train)) {
    if (!tfew || example.choices.empty()) examples.push_back(example);
    if (tfew)
      for (size_t c = 0; c < example.choices.size(); ++c) {  // all of them read one source
        TokenExample& choice = examples.emplace_back();
        if (c == 0) choice.source = example.source;
        choice.input = example.input;
        choice.target = example.choices[c];
      }
  }
  return examples;
}

// "copy.mu-kept.32.s0"; "all" for 0 shots.
std::string item_name(const std::string& task, AdaptMethod method, int64_t shots, uint64_t seed) {
  return fmt::format("{}.{}.{}.s{}", task, method_name(method), shots_text(shots), seed);
}

}  // namespace

std::string shots_text(int64_t shots) { return shots == 0 ? "all" : std::to_string(shots); }

std::vector<uint64_t> AdaptJob::seeds() const {
  std::vector<uint64_t> all;
  for (int64_t i = 0; i < config().adapt.seeds; ++i) all.push_back(config().run.seed + static_cast<uint64_t>(i));
  return all;
}

size_t AdaptJob::scored_examples(size_t task) const {
  const size_t examples = tasks[task].examples(split).size(), limit = static_cast<size_t>(config().eval.limit_examples);
  return limit == 0 ? examples : std::min(examples, limit);
}

void list_adapt_items(AdaptJob& job) {
  const Config& config = job.config();
  const BaseModel& base = job.context.base;
  const RecipeBase common{config.run.seed, base.sites(), base.content_digest(), base.dtype()};
  const AdaptSections sections{config.lora, config.train, config.poly, config.adapt};
  for (const std::string& name : config.adapt.method) job.methods.push_back(adapt_method(name, config.adapt.mu));
  for (size_t t = 0; t < job.tasks.size(); ++t) {
    const TokenTask& task = job.tasks[t];
    if (job.scored_examples(t) == 0)
      user_error("task {} has no examples in split {} to be scored: give it some, or set eval.split", task.name,
                 config.eval.split);
    job.items.push_back(base_item(job, t));
    for (const int64_t shots : config.adapt.shots)
      for (const uint64_t seed : job.seeds()) {
        const TokenTask few = few_shot(task, shots, seed);
        for (const AdaptMethod method : job.methods) {
          AdaptItem item{item_name(task.name, method, shots, seed), "", t, shots, std::nullopt};
          check_name(item.name, "what is made of a task");
          item.recipe = adapt_recipe(common, sections, job.sources(), few, method, shots, seed);
          const nlohmann::json json = {{"recipe", item.recipe->key}, {"score", score_json(job, t)}};
          item.key = sha256_hex(json.dump());
          job.items.push_back(std::move(item));
        }
      }
  }
}

EvalItem scored_item(const AdaptJob& job, const AdaptItem& item) {
  const Method method{item.recipe ? MethodKind::single : MethodKind::none, item.recipe ? "adapted" : "none",
                      item.recipe ? 0 : -1};
  return {item.key, method, item.task, 0, job.scored_examples(item.task)};
}

PhaseCosts adapt_flops(const AdaptJob& job, const AdaptItem& item, const EvalContext& scoring) {
  PhaseCosts flops;
  if (item.recipe) {
    const TokenTask few = few_shot(job.tasks[item.task], item.shots, item.recipe->seed);
    const PhaseSettings& phase = item.recipe->phase;
    flops.emplace_back(
        phase.name, epochs_of(phase, few) * training_flops(job.context.base, fed_sequences_of(few, phase.step.tfew)));
  }
  flops.emplace_back("score", scoring_flops(scoring, scored_item(job, item)));
  return flops;
}

ItemWork adapt_work(const AdaptJob& job, const AdaptItem& item, const EvalContext& scoring) {
  ItemWork work{"adapt, " + scoring_kind(scoring, scored_item(job, item)), 0};
  for (const auto& [phase, flops] : adapt_flops(job, item, scoring)) work.flops += flops;
  if (!item.recipe) return work;
  const AdaptRecipe& recipe = *item.recipe;
  const PhaseSettings& phase = recipe.phase;
  const double tokens = mean_fed_tokens(job.tasks[item.task].examples(Split::train));
  work.kind += fmt::format(", behind {}{} of {} values, {} trained, {} steps, {} lanes, {}", method_name(recipe.method),
                           phase.step.tfew ? " by tfew" : "", poly_layout(recipe.spec).size(), recipe.trained(),
                           phase.schedule.steps, phase.step.lanes, passes_text(phase, tokens));
  return work;
}

}  // namespace gaggle
