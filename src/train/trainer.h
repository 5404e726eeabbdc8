// One optimiser step over lanes: the same bits on any number of ranks. With one rank nothing is copied or sent.
#pragma once

#include <stdexcept>

#include "adapter/trainable.h"
#include "train/batch.h"
#include "train/exchange.h"
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
  bool tfew = false;  // T-Few's three losses (tfew.h) instead of the plain one; a single task
};

struct StepResult {
  double loss = 0;                     // of the whole batch, as loss_average has it
  std::vector<double> by_task;         // per target token of each task; NaN: none of its samples is in the batch
  bool skipped = false;                // not finite somewhere: nothing was changed
  double grad_norm = 0;                // before clipping
  int64_t tokens = 0;                  // fed by all ranks
  double flops = 0;                    // useful FLOP of this rank's share
  StepStatus status = StepStatus::ok;  // the worst of the group
};

class Trainer {
 public:
  // `tasks`: how many there are; Sample::task counts them.
  Trainer(BaseModel& base, Trainable& adapter, Communicator& group, StepSettings settings, int64_t tasks = 1);
  // `status` is what this rank has to say. Throws NotFinite where the fifth step running has to be skipped;
  // SystemError if another rank failed.
  StepResult step(std::span<const Sample> batch, double lr, StepStatus status = StepStatus::ok);

  // The optimiser's state of all tensors, in state_layout()'s order (collective), and back.
  struct State {
    at::Tensor flat;  // fp32 on the CPU
    int64_t updates = 0;
    int64_t not_finite = 0;  // skipped updates in a row
  };
  const ParameterLayout& state_layout() const { return state_layout_; }
  State state();
  int64_t skipped() const { return not_finite_; }  // steps in a row, up to the last one
  void restore(const State& state);

 private:
  std::vector<double> run_lanes(std::span<const Sample> batch, double& flops);
  // Of a micro-batch; its nll. T-Few's losses are added to `by_task` here.
  at::Tensor forward_backward(const Microbatch& batch, std::span<double> by_task);
  std::vector<double> losses_per_token(std::span<const Sample> batch, const std::vector<double>& sums) const;
  BaseModel& base_;
  Trainable& adapter_;
  Communicator& group_;
  StepSettings settings_;
  Exchange exchange_;
  LaneSums sums_;
  int64_t tasks_;
  Optimizer optimizer_;  // of what this rank owns
  ParameterLayout state_layout_;
  Owners state_owners_;
  int64_t updates_ = 0, not_finite_ = 0;
};

}  // namespace gaggle
