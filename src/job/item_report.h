// What a worker tells of the item that it is at: the journal, from which live views are drawn, and the item's metrics
// files.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/journal.h"
#include "report/metrics.h"
#include "train/loop.h"
#include "train/running_speed.h"

namespace gaggle {

// Metrics by name, as MetricsLog takes them.
using Metrics = std::vector<std::pair<std::string, double>>;

// The item's phases in order, with what each costs relative to the others.
using PhaseCosts = std::vector<std::pair<std::string, double>>;

class ItemReport {
 public:
  // gemm_flops: per second, of this rank; speeds are shown as a share of it.
  ItemReport(Journal& journal, std::string item, double gemm_flops);

  // Before the first step: metrics go to run_dir/items/ITEM, of an item of several members to that of each. Without
  // phases an item has one.
  void open_metrics(const std::filesystem::path& run_dir, bool tensorboard, PhaseCosts phases = {},
                    const std::vector<std::string>& members = {});
  // A training step, and what else is to stand in its line of the metrics. What is told of the item is of all members
  // that made the step together: the mean of their losses, their tokens in all.
  void step(const StepReport& report, const Metrics& more = {});
  // What the item, or a member of it, came to, for TensorBoard alone: tag, step, value.
  struct Outcome {
    std::string tag;
    int64_t step = 0;
    double value = 0;
  };
  void outcomes(const std::vector<Outcome>& all, size_t member = 0);
  // Of an item that is scored: `done` of `all` examples.
  void scored(int64_t done, int64_t all);
  // A line for people that stays above the live view.
  void say(const std::string& text);
  // What this worker did of the item; `whole`: it is done. 0 where nothing was reported.
  double share_of_own(bool whole) const { return share_at_start_ < 0 ? 0 : (whole ? 1 : share_) - share_at_start_; }

 private:
  double share_done(const StepReport& report, int64_t step) const;
  void progress(const StepReport& of_all);
  Journal& journal_;
  std::string item_, phase_;
  double gemm_flops_;
  double share_at_start_ = -1, share_ = 0;  // of the item, when this worker's first report came, and now
  PhaseCosts phases_;
  std::vector<std::unique_ptr<MetricsLog>> metrics_;  // by member
  std::vector<StepReport> of_step_;                   // the members' reports of the step that is being told
  RunningSpeed speed_;
};

// TensorBoard's events of a whole, in place of those that <run folder>/tensorboard/NAME has. Warns where they cannot be
// written.
void write_events(const std::filesystem::path& run_dir, const std::string& name,
                  const std::vector<ItemReport::Outcome>& all);

}  // namespace gaggle
