// The loop that all training shares: steps, validation, keeping the best, stopping, checkpoints.
#pragma once

#include <functional>
#include <optional>

#include "base/error.h"
#include "config/config.h"
#include "train/checkpoint.h"
#include "train/schedule.h"
#include "train/trainer.h"

namespace gaggle {

struct PhaseSettings {
  int phase = 0;      // orders checkpoints of one item
  std::string name;   // "lora", "gate"
  Schedule schedule;  // with the number of steps
  int64_t batch_size = 32;
  StepSettings step;
  uint64_t seed = 0;
  int64_t validate_every = 0;
  bool keep_best = false;  // else the last
};

// What a phase is trained on.
struct TrainingData {
  std::vector<const TokenTask*> tasks;                     // members of the rows' segments count these
  std::function<std::vector<Sample>(int64_t step)> batch;  // of every step
};
TrainingData single_task(const TokenTask& task, const PhaseSettings& settings);
// Rows of all tasks in every batch, as `mix` has them.
TrainingData mixed_tasks(const std::vector<TokenTask>& tasks, const PhaseSettings& settings,
                         const MixSettings& mix);

// What a step looked like, for reports.
struct StepReport {
  std::string phase;
  int64_t step = 0, steps = 0;  // step: done so far
  double loss = 0, grad_norm = 0, lr = 0;
  double seconds = 0;                     // of the step, without validation
  int64_t rows = 0;                       // fed in this step
  double flops = 0;                       // useful FLOP of this rank's share of it
  std::vector<double> by_task;            // loss per target token of each task; NaN: not in the batch
  std::optional<double> validation_loss;  // measured after this step: the mean over tasks
  std::vector<double> validation_by_task;
};

// How the loop talks to its surroundings; anything may be empty.
struct LoopHooks {
  std::function<void(const StepReport&)> on_step;
  // On every rank, around each step: to watch an adapter's gradients, and to speak with the group about them.
  // Before the first step (with the steps done already) and with every checkpoint: to go on from there.
  std::function<void(int64_t step)> on_start;
  std::function<void(int64_t step, std::span<const Sample> batch)> before_step;
  std::function<void(const StepReport&)> after_step;
  std::function<void()> on_checkpoint;
  std::function<std::optional<Exit>()> stop;  // asked on the group's first rank before each step
  SnapshotWriter* snapshots = nullptr;        // on the group's first rank
  Interval checkpoint_every;                  // by the clock of the group's first rank; 0: only when stopped
  bool checkpoint_at_end = false;
  int64_t compare_every = 0;  // steps between comparisons of the ranks' values; 0: none
  // What equal bits need besides the recipe; kept in snapshots. One made on another machine is gone on from
  // with a warning; `strict`: refused (OtherMachine).
  nlohmann::json machine;
  bool strict = false;
};

struct PhaseResult {
  std::optional<Exit> stopped;  // resumable | stopped: a checkpoint was written
  std::vector<double> losses;   // of the steps done here
  std::optional<int64_t> best_step;
};

// Trains adapter.values(). `from`: a snapshot of this phase. `extra` goes into every snapshot besides the
// phase's own tensors and state.
PhaseResult run_phase(const PhaseSettings& settings, BaseModel& base, Trainable& adapter,
                      const TrainingData& data, Communicator& group, const LoopHooks& hooks,
                      const Snapshot* from, const Snapshot& extra);

// The trained values in a snapshot, in `layout`'s order.
at::Tensor snapshot_values(const Snapshot& snapshot, const ParameterLayout& layout);

}  // namespace gaggle
