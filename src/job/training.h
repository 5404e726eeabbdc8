// What the attempts of every job that trains share: checkpoints, stops, comparisons of the ranks, reports.
#pragma once

#include <optional>

#include "job/job.h"
#include "train/loop.h"

namespace gaggle {

struct TrainingAttempt {
  // `checkpoints`: where they go, named by `key`. Opens the item's metrics; of several that are trained together those
  // of each, in StepReport::member's order.
  TrainingAttempt(const JobContext& context, const Attempt& attempt, const std::filesystem::path& checkpoints,
                  const std::string& key, PhaseCosts phases = {}, const std::vector<std::string>& members = {});
  // Checkpoints that are on their way are on the disk.
  void wait();

  LoopHooks hooks;
  std::optional<SnapshotWriter> writer;  // of the group's first rank
};

}  // namespace gaggle
