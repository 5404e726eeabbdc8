// gaggle pretrain: Poly / MHR skills over many tasks, one item that all ranks make together; ends as an
// inventory in the registry.
#pragma once

#include <string>
#include <vector>

#include "alignment/routing_table.h"
#include "job/plan.h"
#include "job/start.h"
#include "registry/registry.h"
#include "train/skills.h"

namespace gaggle {

struct PretrainJob {
  const JobContext& context;
  const std::vector<TokenTask>& tasks;
  std::string name;  // of the inventory: run.name[-run.variant]
  SkillsRecipe recipe;
  std::string version = {};  // that carries the recipe's key; "": to train

  const Config& config() const { return context.config; }
  const std::filesystem::path& run_dir() const { return context.session.run_dir; }
};

// Looks up what is there, prints the plan and, unless it is a dry run, trains and prints the closing tables.
// Collective.
Exit run_pretraining(PretrainJob job);

// Where checkpoints of a run lie, one folder per key. They stay after the end: `gaggle align` passes over them,
// and a run with poly.average_from goes on from those of the run without it.
std::filesystem::path checkpoints_of(const std::filesystem::path& run_dir);

// train.lanes, or what the run's first start chose (keep_recipe), or the default. Throws UserError where there
// are more ranks.
int64_t resolve_lanes(const Config& config, const Session& session);
// A run folder holds the numbers of one recipe: throws UserError that names what another one, which began
// there, has otherwise. A run with poly.average_from and the same run without it may share a folder.
void check_same_recipe(const PretrainJob& job);
// Writes recipe and lanes into the run folder.
void keep_recipe(const PretrainJob& job);

// Values of an inventory that train, of its skills and of its routing table.
struct TrainedCounts {
  int64_t skills = 0, routing = 0;
  int64_t all() const { return skills + routing; }
};
TrainedCounts trained_counts(const PolySpec& spec);

// Of a rank, for the gradients that train.combine keeps apart; 0: they are summed.
uint64_t bytes_by_task(const PretrainJob& job);
// Throws UserError where they make the difference between what fits into the memory and what does not.
void check_memory_by_task(const PretrainJob& job, const JobMemory& need);

// Parts of it.
Commit pretrain(const PretrainJob& job, Registry& registry, Attempt& attempt);
ItemWork pretrain_work(const PretrainJob& job);
double steps_flops(const PretrainJob& job);  // of all steps, without validation
// FLOP per second of short steps, which come to about `flops`.
double pretrain_rate(const PretrainJob& job, double flops);
JobPlan pretrain_plan(const PretrainJob& job);
// Loss by task, what the routing table looks like, where it is stored, what to type next.
Page pretrain_closing_page(const PretrainJob& job, const Registry& registry);

}  // namespace gaggle
