// What `gaggle experts` and `gaggle gates` share: the plan, workers that take items by lease, the end.
#pragma once

#include <string>
#include <vector>

#include "app/commands.h"
#include "job/inputs.h"
#include "job/session.h"
#include "train/recipe.h"

namespace gaggle {

// One expert to make, or to give gates to.
struct ExpertItem {
  std::string name;
  const TokenTask* task = nullptr;
  Recipe recipe;
  std::string parent;   // gates: "name@version" whose LoRA stays
  std::string version;  // already there with this key; "": to train
  std::string why;      // "v0002, train.lr 0.005 → 0.001": a newer version of something that is there
};

struct ExpertJob {
  const Config& config;
  const CommandOptions& options;
  Session& session;
  BaseModel& base;
  std::vector<ExpertItem> items;
  std::vector<std::string> ungated;  // experts without data
  double gemm_flops = 0;             // per second, of this rank while all ranks are busy
};

// Groups of ranks that take items.
inline size_t worker_count(const ExpertJob& job) {
  return static_cast<size_t>(job.session.world->size() / job.config.cluster.ranks_per_expert);
}

// What can be known before the base is read: folders that cannot be written to, ranks that do not fit.
void check_job(const Config& config, const Session& session);

// Looks up what is there, prints the plan, and unless it is a dry run: the workers' loop, the collection,
// the closing table.
Exit plan_and_run(ExpertJob job);

}  // namespace gaggle
