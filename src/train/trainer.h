// One optimiser step over lanes: the same bits on any number of ranks. With one rank nothing is copied or sent.
#pragma once

#include <memory>
#include <stdexcept>

#include "adapter/trainable.h"
#include "train/batch.h"
#include "train/exchange.h"
#include "train/optimizer.h"

namespace gaggle {

struct StepSettings {
  int64_t lanes = 1;
  int64_t tokens_per_microbatch = 2048;
  std::string loss_average = "token";  // token | example | sum
  double clip = 1;
  AdamWSettings adamw;
};

// Five updates in a row were not finite: a retry would repeat it.
struct NotFinite : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct StepResult {
  double loss = 0;             // of the whole batch, as loss_average has it
  double grad_norm = 0;        // before clipping
  int64_t rows = 0;            // fed by all ranks
  double flops = 0;            // useful FLOP of this rank's share
  Status status = Status::ok;  // the worst of the group
};

class Trainer {
 public:
  Trainer(BaseModel& base, Trainable& adapter, Communicator& group, StepSettings settings);
  // `status` is what this rank has to say. Throws NotFinite; SystemError if another rank failed.
  StepResult step(std::span<const Sample> batch, double lr, Status status = Status::ok);

  // Optimiser state as flat tensors over the whole layout (collective), and back.
  struct Moments {
    at::Tensor m, v;  // fp32
    int64_t updates = 0;
    int64_t not_finite = 0;  // skipped updates in a row
  };
  Moments moments();
  void restore(const Moments& moments);

 private:
  std::vector<double> sum_lanes(std::span<const Sample> batch, double& flops);
  BaseModel& base_;
  Trainable& adapter_;
  Communicator& group_;
  StepSettings settings_;
  Exchange exchange_;
  LaneSums sums_;
  at::Tensor m_, v_;  // of what this rank owns
  int64_t updates_ = 0, not_finite_ = 0;
};

// Σ nll / target tokens of rows with an adapter (null: the base alone); forward only, spread over the group's
// lanes.
double mean_loss(BaseModel& base, SiteAdapter* adapter, const std::vector<TokenRow>& rows, int64_t lanes,
                 int64_t tokens_per_microbatch, Communicator& group);

}  // namespace gaggle
