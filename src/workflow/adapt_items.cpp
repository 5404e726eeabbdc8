// What gaggle adapt works on.
#include <algorithm>

#include "base/error.h"
#include "base/names.h"
#include "base/sha256.h"
#include "workflow/adapt.h"

namespace gaggle {
namespace {

// What changes a score besides the adapter and the task's rows.
nlohmann::json score_json(const AdaptJob& job, const TokenTask& task) {
  nlohmann::json json = {{"split", split_names[static_cast<size_t>(job.split)]},
                         {"limit_rows", job.config().eval.limit_examples},
                         {"metric", task.metric},
                         {"end", task.end_id}};
  if (task.metric != "exact_match") return json;
  const EvalConfig& eval = job.config().eval;
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
      {"score", score_json(job, task)}};
  return {task.name + ".base", sha256_hex(json.dump()), t, 0, std::nullopt};
}

// Sequences that a row is trained as: with its wrong choices where the loss looks at them.
std::vector<TokenRow> fed_rows_of(const TokenTask& few, bool tfew) {
  std::vector<TokenRow> rows;
  for (const TokenRow& row : few.rows(Split::train)) {
    if (!tfew || row.choices.empty()) rows.push_back(row);
    if (tfew)
      for (size_t c = 0; c < row.choices.size(); ++c) {  // all of them read one source
        TokenRow& choice = rows.emplace_back();
        if (c == 0) choice.source = row.source;
        choice.input = row.input;
        choice.target = row.choices[c];
      }
  }
  return rows;
}

// "copy.mu-kept.32.s0"; "all" for 0 shots.
std::string item_name(const std::string& task, AdaptMethod method, int64_t shots, uint64_t seed) {
  return fmt::format("{}.{}.{}.s{}", task, method_name(method), shots == 0 ? "all" : std::to_string(shots),
                     seed);
}

}  // namespace

std::vector<uint64_t> AdaptJob::seeds() const {
  std::vector<uint64_t> all;
  for (int64_t i = 0; i < config().adapt.seeds; ++i) all.push_back(config().run.seed + static_cast<uint64_t>(i));
  return all;
}

size_t AdaptJob::scored_rows(size_t task) const {
  const size_t rows = tasks[task].rows(split).size(), limit = static_cast<size_t>(config().eval.limit_examples);
  return limit == 0 ? rows : std::min(rows, limit);
}

void list_adapt_items(AdaptJob& job) {
  const RecipeBase common{job.config(), job.context.base.sites(), job.context.base.content_digest(), job.context.base.dtype()};
  for (const std::string& name : job.config().adapt.method)
    job.methods.push_back(adapt_method(name, job.config().adapt.mu));
  for (size_t t = 0; t < job.tasks.size(); ++t) {
    const TokenTask& task = job.tasks[t];
    if (job.scored_rows(t) == 0)
      user_error("task {} has no rows in split {} to be scored: give it some, or set eval.split", task.name,
                 job.config().eval.split);
    job.items.push_back(base_item(job, t));
    for (const int64_t shots : job.config().adapt.shots)
      for (const uint64_t seed : job.seeds()) {
        const TokenTask few = few_shot(task, shots, seed);
        for (const AdaptMethod method : job.methods) {
          AdaptItem item{item_name(task.name, method, shots, seed), "", t, shots, std::nullopt};
          check_name(item.name, "what is made of a task");
          item.recipe = adapt_recipe(common, job.sources(), few, method, shots, seed);
          const nlohmann::json json = {{"recipe", item.recipe->key}, {"score", score_json(job, task)}};
          item.key = sha256_hex(json.dump());
          job.items.push_back(std::move(item));
        }
      }
  }
}

double adapt_flops(const AdaptJob& job, const AdaptItem& item) {
  const BaseModel& base = job.context.base;
  double flops = scoring_flops(base, job.tasks[item.task], job.split, 0, job.scored_rows(item.task), job.config().eval);
  if (!item.recipe) return flops;
  const TokenTask few = few_shot(job.tasks[item.task], item.shots, item.recipe->seed);
  const PhaseSettings& phase = item.recipe->phase;
  return flops + epochs_of(phase, few) * training_flops(base, fed_rows_of(few, phase.step.tfew));
}

}  // namespace gaggle
