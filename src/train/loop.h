// The loop that all training shares: steps, validation, keeping the best values, stopping, checkpoints.
#pragma once

#include <functional>
#include <optional>

#include "config/config.h"
#include "train/checkpoint.h"
#include "train/mean_losses.h"
#include "train/schedule.h"
#include "train/trainer.h"

namespace gaggle {

struct PhaseSettings {
  int phase = 0;      // the place among the phases of an item, which orders their checkpoints
  std::string name;   // "lora", "gate"
  Schedule schedule;  // with the number of steps
  int64_t batch_size = 32;
  StepSettings step;
  uint64_t seed = 0;
  int64_t validate_every = 0;  // steps; 0: never
  bool keep_best = false;      // the values with the least validation loss are kept, not the last ones
};

// What a phase is trained on.
struct TrainingData {
  std::vector<const TokenTask*> tasks;                     // Sample::task counts these
  std::function<std::vector<Sample>(int64_t step)> batch;  // the samples of an optimiser step
};
// Every batch holds examples of all tasks, in the shares that `mix` gives them.
TrainingData mixed_tasks(std::span<const TokenTask> tasks, const PhaseSettings& settings, const MixSettings& mix);
inline TrainingData single_task(const TokenTask& task, const PhaseSettings& settings) {
  return mixed_tasks({&task, 1}, settings, {});
}

// What is reported of an optimiser step.
struct StepReport {
  int member = 0;             // of those that go together, which one it is of …
  bool ends_the_step = true;  // … and whether no other's report of the same step comes after it
  std::string phase;
  int64_t step = 0, steps = 0;  // done so far, this one included; in the whole phase
  double loss = 0, grad_norm = 0, lr = 0;
  double seconds = 0;                     // of the step, without validation; of steps made together its share
  int64_t tokens = 0;                     // tokens that all ranks fed in this step
  double flops = 0;                       // useful FLOP of this rank's share of the step
  std::vector<double> by_task;            // loss per target token; NaN: the batch has none of the task
  std::vector<double> weights_by_task;    // as in StepResult; empty: gradients are summed
  double combine_seconds = 0;             // of this rank's `seconds`
  std::optional<double> validation_loss;  // after this step, the mean over tasks; nullopt: not measured
  std::vector<double> validation_by_task;
};

// What the loop calls while it trains, and what it is told about checkpoints. Every function may be empty.
struct LoopHooks {
  // Called on every rank that sets it, after each step and its validation. Once more after a resumed run has
  // done a validation that a stop cut short.
  std::function<void(const StepReport&)> on_step;

  // These are for watching an adapter's gradients. They may communicate, so every rank of the group has to set
  // them alike. on_start is given the number of steps that are done before the first one of this start, and
  // on_checkpoint comes with every checkpoint: together they allow to go on from there.
  std::function<void(int64_t step)> on_start;
  std::function<void(int64_t step, std::span<const Sample> batch)> before_step;
  std::function<void(const StepReport&)> after_step;
  std::function<void()> on_checkpoint;

  // Asked on the group's first rank before each step and between micro-batches of a validation. An exit code
  // means that a stop was asked for: the loop writes a checkpoint and throws StopRequested on every rank.
  std::function<std::optional<Exit>()> stop;

  // What people should hear of; null on all but the group's first rank.
  std::function<void(const std::string&)> say;

  SnapshotWriter* snapshots = nullptr;  // set on the group's first rank alone, which writes the checkpoints
  Interval checkpoint_every;            // minutes by the first rank's clock; 0: only when stopped
  bool checkpoint_at_end = false;       // also after the last step of a phase
  int64_t compare_every = 0;            // steps between comparisons of the ranks' values; 0: none

  // What equal bits need besides the recipe; it is kept in checkpoints. Going on from a checkpoint of another
  // machine is a warning, or with `strict` an error (OtherMachine).
  nlohmann::json machine;
  bool strict = false;
};

// What the phases of an item under training have in common (begin_training in resume.h).
struct TrainingRun {
  BaseModel& base;
  Communicator& group;
  const LoopHooks& hooks;
  std::optional<Snapshot> from;  // the checkpoint to go on from, the same on every rank
  std::string item;              // its name, for people
};

// One of the trainings that go through a phase together: adapter.values() are trained, from `from` if that is a
// checkpoint of this phase. `kept` goes into every checkpoint besides the phase's own tensors and state.
struct PhaseMember {
  const PhaseSettings& settings;
  Trainable& adapter;
  TrainingData data;
  Snapshot kept = {};
  std::optional<Snapshot> from = {};
  std::string key = {};    // names its part of the pack's checkpoints (pack_snapshot.h); "": it is alone
  std::string title = {};  // for warnings
};

struct PhaseEnd {
  std::optional<int64_t> best_step;  // whose values were kept as the best
  std::string failure;               // what NotFinite would say: its values are not to be used; "": they are good
  bool reduced = false;              // memory ended on the way: the bits depend on how much there was

  // best_step and, where it is so, "not_reproducible" of this phase.
  void note_in(nlohmann::json& metrics, const std::string& phase) const;
};
// "title: failure", or without a title the failure.
std::string titled(const std::string& title, const std::string& failure);

// Each takes its own number of steps, of its own schedule; who has no more leaves the passes, who fails does not. All in
// one checkpoint. Collective. Throws StopRequested on every rank together once a checkpoint is written; NotFinite where
// all have failed; SystemError.
std::vector<PhaseEnd> run_together(const TrainingRun& run, const std::vector<PhaseMember>& members);

// Of one training, from the run's checkpoint. Throws NotFinite.
PhaseEnd run_phase(const TrainingRun& run, const PhaseSettings& settings, Trainable& adapter, const TrainingData& data,
                   const Snapshot& kept = {});

// mean_losses on validation examples after or between phases. Throws StopRequested on every rank together; the
// checkpoint that is under way then is on the disk.
std::vector<double> validation_losses(const TrainingRun& run, SiteAdapter* adapter,
                                      const std::vector<const TokenTask*>& tasks, const StepSettings& settings);

}  // namespace gaggle
