// gaggle pretrain: one run of all ranks together over all tasks.
#pragma once

#include <string>
#include <vector>

#include "app/commands.h"
#include "job/inputs.h"
#include "job/session.h"
#include "train/routed.h"

namespace gaggle {

struct PretrainJob {
  const Config& config;
  const CommandOptions& options;
  Session& session;
  BaseModel& base;
  const std::vector<TokenTask>& tasks;
  std::string name;  // under routed/ in the registry: run.name[-run.variant]
  RoutedRecipe recipe;
  std::string version;    // there already with this key; "": to train
  double gemm_flops = 0;  // per second, of this rank while all ranks are busy
};

// Where checkpoints of a run lie, one folder per key.
std::filesystem::path checkpoints_of(const std::filesystem::path& run_dir);

// train.lanes, or what the run's first start chose (keep_lanes), or the default;
// a user's mistake if there are more ranks.
int64_t resolve_lanes(const Config& config, const Session& session);
void keep_lanes(const PretrainJob& job);

// A run folder holds the numbers of one recipe: throws UserError that names what another one, which began
// there, has otherwise. A run with poly.average_from and the same run without it may share a folder.
void check_same_recipe(const PretrainJob& job);
void keep_recipe(const PretrainJob& job);

std::string plan_text(const PretrainJob& job);
double job_seconds(const PretrainJob& job);

// The closing table: loss by task, what the routing table looks like, where it is stored, what to type next.
std::string closing_text(const PretrainJob& job, const Registry& registry, const std::string& version);

}  // namespace gaggle
