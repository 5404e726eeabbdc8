// Adafactor (Shazeer and Stern, arXiv 1804.04235) with a given rate and without momentum, step by step as
// transformers' Adafactor(relative_step=False, warmup_init=False, beta1=None).
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

struct AdafactorSettings {
  double clip_threshold = 1;     // of the update's RMS
  double decay_rate = -0.8;      // second moments forget with 1 - update^decay_rate
  double eps_square = 1e-30;     // added to squared gradients
  double eps_scale = 1e-3;       // the least RMS of a tensor that scale_parameter counts
  bool scale_parameter = false;  // the rate is relative to the tensor's RMS
};

// The second moments of a tensor [..., n, m]: of its rows [..., n], then of its columns [..., m], one after the
// other in one flat tensor. A tensor of fewer than two axes keeps one value per element.
int64_t adafactor_state_size(at::IntArrayRef shape);

// The `update`-th update (1, 2, …; for the decay), with decoupled weight decay at the rate that the tensor
// gets. values and gradient fp32, shaped as the tensor is stored (PEFT's axes decide what is factored); state
// fp32 [adafactor_state_size], zeros before the first. values and state change in place.
void adafactor_update(at::Tensor values, const at::Tensor& gradient, at::Tensor state, int64_t update, double lr,
                      double weight_decay, const AdafactorSettings& settings);

}  // namespace gaggle
