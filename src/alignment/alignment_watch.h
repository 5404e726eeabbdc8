// Gradient alignment while an inventory trains: measured from the training step's own gradients, written
// to the run folder. Nothing that is trained changes by it.
#pragma once

#include "adapter/skill_adapter.h"
#include "alignment/record.h"
#include "alignment/sketch.h"
#include "comm/communicator.h"
#include "config/config.h"
#include "train/loop.h"

namespace gaggle {

struct AlignmentPlan {
  AlignmentConfig config;
  const std::vector<TokenTask>& tasks;
  int64_t batch_size = 0;
  uint64_t seed = 0;
  std::filesystem::path folder;  // where it is written
};

// Throws UserError: alignment.tasks or alignment.sites that are not there.
void check_alignment(const AlignmentConfig& config, const std::vector<TokenTask>& tasks,
                     std::span<const LoraSite> sites);

class AlignmentWatch {
 public:
  // Throws UserError: alignment.tasks or alignment.sites that are not there.
  AlignmentWatch(const AlignmentPlan& plan, SkillAdapter& adapter, Communicator& group);
  // The run goes on from `step`: what was written after it goes.
  void resume(int64_t step);
  void before_step(int64_t step, std::span<const Sample> batch);
  void after_step(const StepReport& report);
  void save();  // with every checkpoint

  // Seconds spent measuring, and of all steps with what of it lies inside them.
  double seconds() const { return seconds_ + adapter_.watching_seconds(); }
  double step_seconds() const { return step_seconds_; }
  int64_t measurements() const { return measurements_; }
  const AlignmentWindows& windows() const { return windows_; }  // of the first rank

 private:
  // Gradients of one step, as they are or as sketches for one space.
  struct Gathered {
    std::optional<SketchPlan> plan;
    std::vector<GradientSpace> spaces;  // to be had from them
    TaskGradients gradients;
  };
  void lay_out();  // sites and sketches for gradients as the adapter shows them in this step
  void begin_gathering();
  void take(const WatchedGradient& watched);
  void measure(const StepReport& report);
  bool first() const { return group_.rank() == 0; }

  AlignmentConfig config_;
  SkillAdapter& adapter_;
  Communicator& group_;
  std::filesystem::path folder_;
  std::vector<bool> chosen_tasks_;
  std::vector<GradientSpace> spaces_;
  int64_t most_tasks_;  // in a batch
  uint64_t seed_;
  bool per_example_ = false;
  std::vector<AlignedSite> sites_;   // the chosen ones
  std::vector<int> number_of_site_;  // by place in PolySpec::sites; -1: not chosen
  std::vector<Gathered> gathered_;
  std::vector<at::Tensor> routing_;  // of this step's tasks, by chosen site
  std::optional<BatchTasks> batch_;  // of the step being measured
  AlignmentWindows windows_;
  double seconds_ = 0, step_seconds_ = 0;
  double measured_until_ = 0;  // seconds() when the last measurement ended
  int64_t measurements_ = 0;
};

}  // namespace gaggle
