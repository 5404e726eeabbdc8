// One expert from start to finish: LoRA, then gate, then its metrics; goes on from a checkpoint of its key.
#pragma once

#include "train/recipe.h"

namespace gaggle {

struct ExpertResult {
  at::Tensor lora;         // flat, in lora_layout's order, fp32 on the CPU
  at::Tensor gate;         // flat, in gate_layout's order; undefined: no gates
  nlohmann::json metrics;  // base_loss, validation_loss, half_open_loss, gated_loss, gate_norm, …: equal in
                           // every run of a recipe
  std::string failure;     // of a member of a pack: what NotFinite would say, and the rest is not to be used
};

// `folders`: where checkpoints of the item may lie. Collective over the group. Throws OtherMachine, NotFinite,
// and StopRequested on all ranks (hooks.checkpoint_at_end keeps a phase that was done before the stop).
ExpertResult train_expert(BaseModel& base, const TokenTask& task, const Recipe& recipe, Communicator& group,
                          const LoopHooks& hooks, const std::vector<std::filesystem::path>& folders);

// Several at once, their passes made together (train.pack): each has its own schedule, optimiser, clipping and best
// values. The LoRAs of all, then the gates of all.
struct PackedExpert {
  const TokenTask& task;
  const Recipe& recipe;
};
// `key` names their common checkpoints. Of those that failed before, when a checkpoint was written, all are begun anew
// where nobody else is left. Throws NotFinite where all fail.
std::vector<ExpertResult> train_pack(BaseModel& base, const std::vector<PackedExpert>& experts, const std::string& key,
                                     Communicator& group, const LoopHooks& hooks,
                                     const std::vector<std::filesystem::path>& folders);

// The LoRA before the first step, in lora_layout's order: the one that the recipe gives, else a drawn one.
at::Tensor start_of(const Recipe& recipe);

// Mean over sites of |v|, the table's "gate |v|".
double gate_norm(std::span<const LoraSite> sites, const at::Tensor& gate);

}  // namespace gaggle
