// One optimiser step over lanes: the same bits on any number of ranks. With one rank nothing is copied or sent.
// Several trainers may make their steps together (a pack): each batch is dealt to lanes by itself, and the passes over
// the base are of all of them.
#pragma once

#include <memory>
#include <string>

#include "adapter/trainable.h"
#include "train/batch.h"
#include "train/combine.h"
#include "train/early_sums.h"
#include "train/exchange.h"
#include "train/gradients_by_task.h"
#include "train/optimizer.h"

namespace gaggle {

struct StepSettings {
  int64_t lanes = 1;
  int64_t tokens_per_microbatch = 2048;
  LossAverage loss_average = LossAverage::token;
  double clip = 1;
  OptimizerSettings optimizer;
  double label_smoothing = 0;
  BaseDropout dropout;
  CombineSettings combine;  // of an inventory of skills that tasks share; everything else is summed
  bool tfew = false;        // T-Few's three losses (tfew.h) instead of the plain one; a single task
};

struct StepResult {
  double loss = 0;                     // of the whole batch, as loss_average has it
  std::vector<double> by_task;         // per target token of each task; NaN: none of its samples is in the batch
  bool skipped = false;                // not finite somewhere: nothing was changed
  std::string failure;                 // it is the fifth step running that was: what NotFinite says; "" otherwise
  double grad_norm = 0;                // before clipping
  int64_t tokens = 0;                  // fed by all ranks
  double flops = 0;                    // useful FLOP of this rank's share
  StepStatus status = StepStatus::ok;  // the worst of the group
  // Where gradients are not summed: weights by task (NaN: it is not in the batch), and this rank's seconds for them.
  std::vector<double> weights_by_task;
  double combine_seconds = 0;
};

class Trainer {
 public:
  // `tasks`: how many there are; Sample::task counts them.
  Trainer(BaseModel& base, Trainable& adapter, Communicator& group, StepSettings settings, int64_t tasks = 1);
  // step_together of this trainer alone. Throws NotFinite where the fifth step running has to be skipped.
  StepResult step(std::span<const Sample> batch, double lr, StepStatus status = StepStatus::ok);

  // The optimiser's state of all tensors, in state_layout()'s order (collective), and back.
  struct State {
    at::Tensor flat;  // fp32; of one rank what the next step changes, and where that lies
    int64_t updates = 0;
    int64_t not_finite = 0;  // skipped updates in a row
    // As the settings have it, or less: memory ended where pieces were larger.
    int64_t tokens_per_microbatch = 0;
  };
  const ParameterLayout& state_layout() const { return state_layout_; }
  State state();
  int64_t skipped() const { return not_finite_; }  // steps in a row, up to the last one
  void restore(const State& state);
  const StepSettings& settings() const { return settings_; }
  // Whether memory ended: what is trained depends on how much there was.
  bool reduced() const { return settings_.tokens_per_microbatch < wanted_tokens_; }

 private:
  friend class JointStep;
  // A step's lanes begin; one lane's gradients go to `flat`, undefined: none are wanted.
  void begin_lanes(std::span<const Sample> batch);
  void set_gradients(const at::Tensor& flat);
  // The lane's passes are done. Of the last one, what early_ has not sent is still to be sent.
  void end_lane(bool last);
  // Of this rank's tensors, from the sums of its lanes.
  at::Tensor step_gradient(std::span<const Sample> batch, StepResult& result);
  // From the sums of this rank's lanes, whose losses are [lanes of this rank × tasks]: the update.
  StepResult finish(std::span<const Sample> batch, std::span<const double> losses, double lr);
  std::vector<double> losses_per_token(std::span<const Sample> batch, const std::vector<double>& sums) const;
  BaseModel& base_;
  Trainable& adapter_;
  Communicator& group_;
  StepSettings settings_;
  int64_t wanted_tokens_;
  Exchange exchange_;
  std::unique_ptr<GradientsByTask> by_task_;  // null: gradients are summed as they come
  Owners gradient_owners_;                    // of what lanes sum
  LaneSums sums_;
  std::unique_ptr<EarlySums> early_;  // null: sums are sent when all passes are done
  int64_t tasks_;
  Optimizer optimizer_;  // of what this rank owns
  ParameterLayout state_layout_;
  Owners state_owners_;
  int64_t updates_ = 0, not_finite_ = 0;
};

// What one trainer brings to a step.
struct StepPart {
  Trainer& trainer;
  std::span<const Sample> batch;
  double lr = 0;
};

// An optimiser step of each, their passes made together: trainers of one base and group, with lanes and budgets alike.
// A trainer's result is that of its step alone, but for the order in which rows stand in products and sums are rounded;
// what is not finite in one leaves the bits of the others as they are. Where memory ends on any rank, the token budget
// of all is halved and the step made again, down to single rows. `status` is what this rank has to say. Collective.
// Throws SystemError if another rank failed.
std::vector<StepResult> step_together(std::span<const StepPart> parts, StepStatus status);

}  // namespace gaggle
