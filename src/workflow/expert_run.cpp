// One attempt at an expert.
#include <nlohmann/json.hpp>

#include "adapter/gate.h"
#include "alignment/expert_sketch.h"
#include "job/cost.h"
#include "job/training.h"
#include "library/lora.h"
#include "train/expert.h"
#include "train/short_steps.h"
#include "workflow/experts.h"

namespace gaggle {
namespace {

PhaseCosts phase_costs(const Recipe& recipe) {
  PhaseCosts costs;
  if (recipe.train_lora) costs.emplace_back(recipe.lora.name, examples_seen(recipe.lora));
  costs.emplace_back(recipe.gate.name, examples_seen(recipe.gate));
  return costs;
}

// "v0001, validation loss 0.558 (base 6.42)".
std::string committed_text(const std::string& version, const nlohmann::json& metrics) {
  const auto is_number = [&](const char* key) { return metrics.contains(key) && metrics[key].is_number(); };
  if (!is_number("validation_loss") || !is_number("base_loss")) return version;
  return fmt::format("{}, validation loss {:.3f} (base {:.2f})", version, metrics["validation_loss"].get<double>(),
                     metrics["base_loss"].get<double>());
}

// Returns the version. Nothing that is written differs between two runs of one recipe.
std::string commit_expert(const ExpertJob& job, Registry& registry, const ExpertItem& item,
                          const ExpertResult& result) {
  Lora expert;
  expert.name = item.name;
  expert.sites = item.recipe.sites;
  expert.values = result.lora;
  if (result.gate.defined()) expert.gates = gates_by_site(expert.sites, result.gate);
  Provenance made{job.context.base,
                  stored_dtype(job.config().registry.dtype),
                  item.recipe.key,
                  {{"task", item.task->name},
                   {"recipe", item.recipe.json},
                   {"data", item.task->digest},
                   {"metrics", result.metrics}}};
  if (item.parent.empty()) return store_lora(registry, expert, made);
  made.about["parents"] = {item.parent};
  return store_gates(registry, item.parent, expert, made);
}

}  // namespace

double expert_rate(const ExpertJob& job, const ExpertItem& item, double flops) {
  BaseModel& base = job.context.base;
  const Recipe& recipe = item.recipe;
  const at::Tensor start = start_of(recipe);
  const double pass = training_flops(base, item.task->examples(Split::train));
  const auto rate = [&](const PhaseSettings& phase, Trainable&& adapter) {
    const double all = epochs_of(phase, *item.task) * pass;
    return all / phase_seconds(base, adapter, single_task(*item.task, phase), phase, flops / all);
  };
  if (recipe.train_lora) return rate(recipe.lora, LoraAdapter(recipe.sites, {start}, base.dtype(), base.device()));
  return rate(recipe.gate, GateAdapter(recipe.sites, start, base.dtype(), base.device()));
}

Commit train_item(const ExpertJob& job, const ExpertItem& item, Registry& registry, Attempt& attempt) {
  TrainingAttempt training(job.context, attempt, attempt.folder, item.recipe.key, phase_costs(item.recipe));
  if (attempt.report)
    leave_sketch(start_sketches(job.context.base, registry.folder(), job.config().alignment, job.config().run.seed),
                 *item.task, item.recipe);
  const ExpertResult result =
      train_expert(job.context.base, *item.task, item.recipe, attempt.group, training.hooks, attempt.earlier);
  training.wait();
  return [&job, &item, &registry, result] {
    return committed_text(commit_expert(job, registry, item, result), result.metrics);
  };
}

}  // namespace gaggle
