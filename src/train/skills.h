// Multi-task pretraining of a Poly / MHR inventory, of low-rank pairs or (IA)³'s vectors, from start to finish:
// the recipe, its key, the run over lanes.
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
  at::Tensor start;  // all of poly_layout(spec); from poly.init_from, else drawn
  nlohmann::json json;
  std::string key;
  // The same run without poly.average_from: its checkpoints up to there are this run's too. "": there is none.
  std::string plain_key;
};

// The sites and sizes of poly.method for this many tasks. Throws UserError: undivided heads, unknown targets.
PolySpec poly_spec(const Config& config, const std::vector<Site>& sites, int64_t tasks);

// Where train.lr is not set: (IA)³'s (arXiv 2205.05638), else MHR's, beside 0.1 of the routing table.
double default_skills_lr(SkillKind skill);
Sampling sampling_named(const std::string& name);  // poly.sample: none | example | task

// `lanes`: train.lanes resolved. Throws UserError: a task without training rows, an unfit poly.init_from.
SkillsRecipe skills_recipe(const RecipeBase& base, const std::vector<TokenTask>& tasks, int64_t lanes);

struct SkillsResult {
  std::optional<Exit> stopped;  // then nothing else is set
  at::Tensor values;            // of poly_layout(spec), fp32 on the CPU
  nlohmann::json metrics;       // base_loss and validation_loss, by task and their means; best_step
};

// `folder`: of all its checkpoints, one folder per key inside. `adapter`: made by the caller from recipe.start,
// so that it can be watched. Collective over the group.
SkillsResult train_skills(BaseModel& base, const std::vector<TokenTask>& tasks, const SkillsRecipe& recipe,
                          SkillAdapter& adapter, Communicator& group, const LoopHooks& hooks,
                          const std::filesystem::path& folder);

// The newest checkpoint that the recipe can go on from, the same on every rank; its machine was compared.
std::optional<Snapshot> skills_snapshot(const SkillsRecipe& recipe, Communicator& group, const LoopHooks& hooks,
                                        const std::filesystem::path& folder);

}  // namespace gaggle
