// Multi-task pretraining of an inventory of skills (Poly, MHR), which are low-rank pairs or (IA)³'s vectors:
// the recipe, its key, and the run over lanes.
#pragma once

#include "adapter/ia3.h"
#include "adapter/poly_adapter.h"
#include "train/recipe.h"

namespace gaggle {

struct SkillsRecipe {
  PolySpec spec;  // spec.skill: whether PolyAdapter or Ia3Adapter trains it
  RoutingSchedule schedule;
  PhaseSettings phase;
  MixSettings mix;
  at::Tensor start;  // [poly_layout(spec).size()]: from poly.init_from, else drawn
  nlohmann::json json;
  std::string key;
  // Of the same run without poly.average_from, whose checkpoints up to that step are this run's too; "": this
  // run does not average.
  std::string plain_key;
};

// The sites and sizes of poly.method for this many tasks. Throws UserError: heads that do not divide, unknown
// targets.
PolySpec poly_spec(const PolyConfig& poly, const std::vector<std::string>& targets, const std::vector<Site>& sites,
                   int64_t tasks);

// Where train.lr is not set: (IA)³'s (arXiv 2205.05638), else MHR's, beside 0.1 of the routing table.
double default_skills_lr(SkillKind skill);
// How routing is sampled while it trains; it never goes over to uniform by itself.
RoutingSchedule sampled_routing(const PolyConfig& poly, uint64_t seed);

// The sections of the config that an inventory is made by.
struct SkillsSections {
  const DataConfig& data;
  const LoraConfig& lora;
  const TrainConfig& train;
  const PolyConfig& poly;
};

// `lanes`: train.lanes resolved. Throws UserError: a task without training examples, poly.init_from that does
// not fit.
SkillsRecipe skills_recipe(const RecipeBase& base, const SkillsSections& config, const std::vector<TokenTask>& tasks,
                           int64_t lanes);

struct SkillsResult {
  at::Tensor values;       // of poly_layout(spec), fp32 on the CPU
  nlohmann::json metrics;  // base_loss and validation_loss, by task and their means; best_step
};

// Where checkpoints of a key lie inside `folder`, which holds those of all recipes of a run.
std::filesystem::path checkpoints_of_key(const std::filesystem::path& folder, const std::string& key);

// `folder`: holds checkpoints_of_key of this recipe. `adapter`: made by the caller from recipe.start, so that
// it can be watched. Collective over the group. Throws OtherMachine, NotFinite, and StopRequested on all ranks.
SkillsResult train_skills(BaseModel& base, const std::vector<TokenTask>& tasks, const SkillsRecipe& recipe,
                          SkillAdapter& adapter, Communicator& group, const LoopHooks& hooks,
                          const std::filesystem::path& folder);

}  // namespace gaggle
