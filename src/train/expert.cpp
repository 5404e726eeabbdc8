#include "train/expert.h"

#include <cmath>

#include "adapter/gate.h"
#include "kernel/squared_norms.h"
#include "train/resume.h"

namespace gaggle {
namespace {

constexpr const char* lora_prefix = "lora/";

at::Tensor trained_values(Trainable& adapter) {
  return adapter.values().to(at::kCPU, at::kFloat, false, /*copy=*/true);
}

// Loss of the task's validation examples; null: it has none.
nlohmann::json validation_loss(const TrainingRun& run, const TokenTask& task, const Recipe& recipe,
                               SiteAdapter* adapter) {
  if (task.examples(Split::validation).empty()) return nullptr;
  return validation_losses(run, adapter, {&task}, (recipe.train_lora ? recipe.lora : recipe.gate).step)[0];
}

// The first phase: a LoRA, or the one that the recipe gives, and what it does for the task.
ExpertResult lora_phase(const TrainingRun& run, const TokenTask& task, const Recipe& recipe) {
  ExpertResult result{start_of(recipe), {}, nlohmann::json::object()};
  LoraAdapter adapter(recipe.sites, {result.lora}, run.base.dtype(), run.base.device());
  if (recipe.train_lora) {
    const auto best_step = run_phase(run, recipe.lora, adapter, single_task(task, recipe.lora));
    if (best_step) result.metrics["best_step"] = *best_step;
    result.lora = trained_values(adapter);
  }
  result.metrics["base_loss"] = validation_loss(run, task, recipe, nullptr);
  result.metrics["validation_loss"] = validation_loss(run, task, recipe, &adapter);
  return result;
}

// What the checkpoints of the gates hold of the first phase, and back. A LoRA that was given is not in them.
Snapshot kept_of(const ExpertResult& lora, const Recipe& recipe) {
  Snapshot kept;
  kept.state["metrics"] = lora.metrics;
  if (recipe.train_lora) put_tensors(kept, lora_prefix, lora_layout(recipe.sites), lora.lora);
  return kept;
}

ExpertResult kept_lora(const Snapshot& kept, const Recipe& recipe) {
  return {recipe.train_lora ? take_tensors(kept, lora_prefix, lora_layout(recipe.sites)) : start_of(recipe),
          {},
          kept.state.at("metrics")};
}

}  // namespace

at::Tensor start_of(const Recipe& recipe) {
  return recipe.start.defined() ? recipe.start : initial_lora(recipe.sites, recipe.seed, recipe.init_std);
}

double gate_norm(std::span<const LoraSite> sites, const at::Tensor& gate) {
  const ParameterLayout layout = gate_layout(sites);
  double sum = 0;
  for (const ParameterInfo& tensor : layout.tensors()) sum += std::sqrt(squared_norm(layout.view(gate, tensor)));
  return sum / static_cast<double>(layout.tensors().size());
}

ExpertResult train_expert(BaseModel& base, const TokenTask& task, const Recipe& recipe, Communicator& group,
                          const LoopHooks& hooks, const std::vector<std::filesystem::path>& folders) {
  const TrainingRun run = begin_training(base, group, hooks, task.name, {{folders, recipe.key}});
  const bool in_gates = run.resumes_in(recipe.gate);
  ExpertResult result = in_gates ? kept_lora(*run.from, recipe) : lora_phase(run, task, recipe);
  if (recipe.gate.schedule.steps == 0) return result;

  GateAdapter gates(recipe.sites, result.lora, base.dtype(), base.device());
  // Gates start half open: what this lies above validation_loss is all that they can learn from.
  if (!in_gates) result.metrics["half_open_loss"] = validation_loss(run, task, recipe, &gates);
  run_phase(run, recipe.gate, gates, single_task(task, recipe.gate), kept_of(result, recipe));
  result.gate = trained_values(gates);
  result.metrics["gated_loss"] = validation_loss(run, task, recipe, &gates);
  result.metrics["gate_norm"] = gate_norm(recipe.sites, result.gate);
  return result;
}

}  // namespace gaggle
