// One training's part in the loop: its trainer, its schedule, what it keeps and what is told of it. Several go through
// their steps together (loop.h).
#pragma once

#include "train/loop.h"
#include "train/phase_state.h"

namespace gaggle {

class Phase {
 public:
  // `number`: its place among those that go together. Goes on from `from` where that is a checkpoint of this phase.
  Phase(const TrainingRun& run, const PhaseMember& member, int number);
  int64_t step() const { return state_.step; }  // done so far
  int64_t steps() const { return member_.settings.schedule.steps; }
  bool live() const { return state_.step < steps(); }
  const std::string& name() const { return member_.settings.name; }

  // Before the first step of this start; a validation that a stop cut short comes next (unvalidated()).
  void begin();
  const std::optional<StepReport>& unvalidated() const { return state_.unvalidated; }

  StepPart next_step();
  // What came of it; `seconds`: its share of the time that the step took.
  StepReport end_step(const StepResult& done, double seconds);
  bool validation_due() const;
  void will_validate(const StepReport& report) { state_.unvalidated = report; }
  // Sets the report's losses and keeps the best values. Throws StopRequested: then unvalidated() is still to be done.
  void validate(StepReport& report);

  // Collective.
  Snapshot snapshot();
  void compare_ranks() const;
  // Why it cannot go on; "" while it can. It stays in the passes, so that the others keep their bits.
  const std::string& failure() const { return failure_; }
  // The values are the last ones, or the best.
  PhaseEnd finish();

 private:
  const TrainingRun& run_;
  const LoopHooks& hooks_;
  const PhaseMember& member_;
  int number_;
  Trainable& adapter_;
  Trainer trainer_;
  PhaseState state_;
  std::vector<Sample> batch_;
  double lr_ = 0;
  std::string failure_;
};

}  // namespace gaggle
