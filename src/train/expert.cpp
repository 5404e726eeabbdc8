#include "train/expert.h"

#include <algorithm>
#include <cmath>

#include "adapter/gate.h"
#include "kernel/squared_norms.h"
#include "train/pack_snapshot.h"
#include "train/phase_state.h"
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

// An expert under training.
struct Member {
  const TokenTask& task;
  const Recipe& recipe;
  std::string key, title;        // of a pack's member; "": it is alone
  std::optional<Snapshot> from;  // its part of the checkpoint to go on from
  ExpertResult result = {};

  bool in_gates() const { return from && from->phase == recipe.gate.phase; }
  PhaseMember in_phase(const PhaseSettings& settings, Trainable& adapter, Snapshot kept) const {
    return {settings, adapter, single_task(task, settings), std::move(kept), from, key, title};
  }
  void take(const PhaseEnd& end, const PhaseSettings& settings) {
    end.note_in(result.metrics, settings.name);
    if (result.failure.empty()) result.failure = end.failure;
  }
};

// The first phase: LoRAs, or those that the recipes give, and what they do for their tasks.
void lora_phase(const TrainingRun& run, std::vector<Member>& members) {
  std::vector<std::unique_ptr<LoraAdapter>> adapters;
  std::vector<PhaseMember> together;
  for (Member& member : members) {
    const Recipe& recipe = member.recipe;
    member.result = {start_of(recipe), {}, nlohmann::json::object(), ""};
    adapters.push_back(std::make_unique<LoraAdapter>(recipe.sites, std::vector{member.result.lora}, run.base.dtype(),
                                                     run.base.device()));
    if (recipe.train_lora) together.push_back(member.in_phase(recipe.lora, *adapters.back(), {}));
  }
  if (!together.empty()) {
    const std::vector<PhaseEnd> ends = run_together(run, together);
    for (size_t i = 0; i < members.size(); ++i) {
      members[i].take(ends[i], members[i].recipe.lora);
      members[i].result.lora = trained_values(*adapters[i]);
    }
  }
  for (size_t i = 0; i < members.size(); ++i) {
    nlohmann::json& metrics = members[i].result.metrics;
    metrics["base_loss"] = validation_loss(run, members[i].task, members[i].recipe, nullptr);
    metrics["validation_loss"] = validation_loss(run, members[i].task, members[i].recipe, adapters[i].get());
  }
}

// What the checkpoints of the gates hold of the first phase, and back. A LoRA that was given is not in them.
Snapshot kept_of(const ExpertResult& lora, const Recipe& recipe) {
  Snapshot kept;
  kept.state["metrics"] = lora.metrics;
  put_failure(kept, lora.failure);
  if (recipe.train_lora) put_tensors(kept, lora_prefix, lora_layout(recipe.sites), lora.lora);
  return kept;
}

ExpertResult kept_lora(const Snapshot& kept, const Recipe& recipe) {
  return {recipe.train_lora ? take_tensors(kept, lora_prefix, lora_layout(recipe.sites)) : start_of(recipe),
          {},
          kept.state.at("metrics"),
          failure_in(kept)};
}

void gate_phase(const TrainingRun& run, std::vector<Member>& members) {
  std::vector<std::unique_ptr<GateAdapter>> adapters;
  std::vector<PhaseMember> together;
  for (Member& member : members) {
    const Recipe& recipe = member.recipe;
    adapters.push_back(std::make_unique<GateAdapter>(recipe.sites, member.result.lora, run.base.dtype(),
                                                     run.base.device(), recipe.gate_bias));
    // Gates start half open, or as far as gate.bias says: what this lies above validation_loss is all that they can
    // learn from.
    if (!member.in_gates())
      member.result.metrics["half_open_loss"] = validation_loss(run, member.task, recipe, adapters.back().get());
    together.push_back(member.in_phase(recipe.gate, *adapters.back(), kept_of(member.result, recipe)));
  }
  const std::vector<PhaseEnd> ends = run_together(run, together);
  for (size_t i = 0; i < members.size(); ++i) {
    ExpertResult& result = members[i].result;
    members[i].take(ends[i], members[i].recipe.gate);
    result.gate = trained_values(*adapters[i]);
    result.metrics["gated_loss"] = validation_loss(run, members[i].task, members[i].recipe, adapters[i].get());
    result.metrics["gate_norm"] = gate_norm(members[i].recipe.sites, result.gate);
  }
}

// All are in the same phase: they have the same settings of phases and one checkpoint.
void train_members(const TrainingRun& run, std::vector<Member>& members) {
  if (members[0].in_gates())
    for (Member& member : members) member.result = kept_lora(*member.from, member.recipe);
  else
    lora_phase(run, members);
  if (members[0].recipe.gate.schedule.steps > 0) gate_phase(run, members);
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
  std::vector<Member> alone = {{task, recipe, "", "", run.from}};
  train_members(run, alone);
  return alone[0].result;
}

std::vector<ExpertResult> train_pack(BaseModel& base, const std::vector<PackedExpert>& experts, const std::string& key,
                                     Communicator& group, const LoopHooks& hooks,
                                     const std::vector<std::filesystem::path>& folders) {
  TrainingRun run = begin_training(base, group, hooks, experts[0].task.name, {{folders, key}});
  std::vector<Member> members;
  bool goes_on = run.from.has_value();
  for (const auto& [task, recipe] : experts) {
    members.push_back({task, recipe, recipe.key, task.name, run.from ? part_of(*run.from, recipe.key) : std::nullopt});
    goes_on = goes_on && members.back().from;
  }
  goes_on =
      goes_on && std::ranges::any_of(members, [](const Member& member) { return failure_in(*member.from).empty(); });
  if (!goes_on)
    for (Member& member : members) member.from.reset();
  train_members(run, members);
  std::vector<ExpertResult> results;
  for (Member& member : members) results.push_back(std::move(member.result));
  return results;
}

}  // namespace gaggle
