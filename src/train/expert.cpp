#include "train/expert.h"

#include <cmath>

#include "adapter/gate.h"
#include "train/resume.h"

namespace gaggle {
namespace {

void keep_lora(Snapshot& extra, std::span<const LoraSite> sites, const at::Tensor& lora) {
  const ParameterLayout layout = lora_layout(sites);
  for (const ParameterInfo& tensor : layout.tensors())
    extra.tensors["lora/" + tensor.name] = layout.view(lora, tensor);
}

at::Tensor kept_lora(const Snapshot& from, std::span<const LoraSite> sites) {
  const ParameterLayout layout = lora_layout(sites);
  at::Tensor lora = at::empty({layout.size()}, at::kFloat);
  for (const ParameterInfo& tensor : layout.tensors())
    layout.view(lora, tensor).copy_(from.tensors.at("lora/" + tensor.name));
  return lora;
}

}  // namespace

double gate_norm(std::span<const LoraSite> sites, const at::Tensor& gate) {
  const ParameterLayout layout = gate_layout(sites);
  double sum = 0;
  for (const ParameterInfo& tensor : layout.tensors())
    sum += std::sqrt(squared_norm(layout.view(gate, tensor)));
  return sum / static_cast<double>(layout.tensors().size());
}

ExpertResult train_expert(BaseModel& base, const TokenTask& task, const Recipe& recipe, Communicator& group,
                          const LoopHooks& hooks, const std::vector<std::filesystem::path>& folders) {
  const at::Device device = base.device();
  const std::optional<Snapshot> from = newest_snapshot(folders, recipe.key);
  agree_on_snapshot(from, group);
  if (from) check_machine(*from, hooks, task.name, group.rank() == 0);
  const bool resumed_in_gates = from && from->phase == recipe.gate.phase;
  const auto validation = [&](SiteAdapter* adapter) -> nlohmann::json {
    const PhaseSettings& phase = recipe.train_lora ? recipe.lora : recipe.gate;
    if (task.rows(Split::validation).empty()) return nullptr;
    return mean_losses(base, adapter, {&task}, Split::validation, phase.step.lanes,
                       phase.step.tokens_per_microbatch, group, hooks.stop)[0];
  };

  at::Tensor lora =
      recipe.start.defined() ? recipe.start : initial_lora(recipe.sites, recipe.seed, recipe.init_std);
  Snapshot extra;
  if (resumed_in_gates) {
    if (recipe.train_lora) lora = kept_lora(*from, recipe.sites);
    extra.state["metrics"] = from->state.at("metrics");
  } else {
    LoraAdapter adapter(recipe.sites, {lora}, base.dtype(), device);
    nlohmann::json metrics = nlohmann::json::object();
    if (recipe.train_lora) {
      const PhaseResult done = run_phase(recipe.lora, base, adapter, single_task(task, recipe.lora), group,
                                         hooks, from ? &*from : nullptr, {});
      if (done.stopped) return {done.stopped, {}, {}, {}};
      lora = adapter.values().to(at::kCPU, at::kFloat, false, /*copy=*/true);
      if (done.best_step) metrics["best_step"] = *done.best_step;
    }
    metrics["base_loss"] = validation(nullptr);
    metrics["validation_loss"] = validation(&adapter);
    extra.state["metrics"] = metrics;
  }
  if (recipe.gate.schedule.steps == 0) return {{}, lora, {}, extra.state["metrics"]};

  if (recipe.train_lora) keep_lora(extra, recipe.sites, lora);
  GateAdapter gates(recipe.sites, lora, base.dtype(), device);
  // Gates start half open: what this lies above validation_loss is all that they can learn from.
  if (!resumed_in_gates) extra.state["metrics"]["half_open_loss"] = validation(&gates);
  const PhaseResult done = run_phase(recipe.gate, base, gates, single_task(task, recipe.gate), group, hooks,
                                     resumed_in_gates ? &*from : nullptr, extra);
  if (done.stopped) return {done.stopped, {}, {}, {}};
  ExpertResult result{
      {}, lora, gates.values().to(at::kCPU, at::kFloat, false, /*copy=*/true), extra.state["metrics"]};
  result.metrics["gated_loss"] = validation(&gates);
  result.metrics["gate_norm"] = gate_norm(recipe.sites, result.gate);
  return result;
}

}  // namespace gaggle
