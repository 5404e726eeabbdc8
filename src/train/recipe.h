// What an expert is made by: the config resolved for one task, its canonical JSON, and its work item's key.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/tokens.h"
#include "library/lora.h"
#include "train/loop.h"

namespace gaggle {

struct Recipe {
  std::vector<LoraSite> sites;
  uint64_t seed = 0;
  double init_std = 0.01;
  at::Tensor start;          // given initial LoRA (lora.init_from, or the LoRA under new gates); undefined: drawn
  bool train_lora = true;    // false: `start` is frozen and only its gates are trained
  PhaseSettings lora, gate;  // gate.schedule.steps = 0: no gates
  double gate_bias = 0;      // b of σ(v·x + b) in the gates' phase
  nlohmann::json json;       // every setting that changes the result, with the digests of base and data
  std::string key;           // SHA-256 of json's canonical text
};

// What the recipes of one job have in common, beside the sections of the config that each is made by. They meet
// in a recipe alone: from here on a phase knows its settings only.
struct RecipeBase {
  uint64_t seed;  // run.seed
  const std::vector<Site>& sites;
  std::string content_digest;  // of the base
  at::ScalarType dtype;
};

// The sections of the config that experts and gates are made by.
struct ExpertSections {
  const LoraConfig& lora;
  const TrainConfig& train;
  const GateConfig& gate;
  int64_t ranks_per_expert;
};

// Throws UserError: no training examples, a learning rate that the scale does not explain, keep = best without
// validation examples, unknown targets.
Recipe expert_recipe(const RecipeBase& base, const ExpertSections& config, const TokenTask& task);
// Gates for a LoRA that is there. `lora_digest` names its tensors in the key.
Recipe gates_recipe(const RecipeBase& base, const ExpertSections& config, const TokenTask& task, Lora lora,
                    const std::string& lora_digest);

// Where two JSON objects (recipes, machines) differ, for people: "train.lr 0.005 → 0.001"; at most three
// differences, then their number.
std::string difference_text(const nlohmann::json& before, const nlohmann::json& now);

// Digest of named fp32 values (an imported LoRA's tensors).
std::string values_digest(const ParameterLayout& layout, const at::Tensor& values);

// Parts that the recipes of experts, of inventories and of adapted tasks share.
// Optimiser, schedule, loss and batch of [train] at a learning rate, for so many training examples; lanes are
// left at 1.
PhaseSettings training_phase(const TrainConfig& train, uint64_t seed, double lr, int64_t examples);
// What every recipe's JSON begins with; `data` names the tasks and digests their examples.
nlohmann::json recipe_json(const RecipeBase& base, uint64_t seed, nlohmann::json data, std::span<const LoraSite> sites);
// Throws UserError where train.combine is another than sum: it joins gradients of several tasks, `what` has one.
void require_sum(const TrainConfig& train, const std::string& what);
nlohmann::json task_json(const TokenTask& task);
nlohmann::json phase_json(const PhaseSettings& phase);
std::string dtype_text(at::ScalarType dtype);
std::string sites_digest(std::span<const LoraSite> sites);

double epochs_of(const PhaseSettings& phase, const TokenTask& task);

}  // namespace gaggle
