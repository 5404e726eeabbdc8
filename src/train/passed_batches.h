// Micro-batches that have passed, whose losses still lie on the device.
#pragma once

#include <ATen/ATen.h>

#include <span>
#include <vector>

#include "base/microbatch.h"

namespace gaggle {

// One copy fetches the losses of all: until then a GPU has its next pass to do while the host prepares one, and after it
// whatever went wrong in them has been thrown.
class PassedBatches {
 public:
  // nll [N] of the batch's targets, on any device. To sums[task] goes Σ weight · nll of that task's targets.
  void add(const at::Tensor& nll, Microbatch batch, std::span<double> sums);
  // To all sums, in the order of add.
  void add_losses() const;

 private:
  std::vector<at::Tensor> nll_;
  std::vector<Microbatch> batches_;
  std::vector<std::span<double>> sums_;
};

}  // namespace gaggle
