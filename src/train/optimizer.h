// AdamW (Loshchilov and Hutter, arXiv 1711.05101) over flat fp32 ranges, and the norms that clipping needs.
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

struct AdamWSettings {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
};

// The `update`-th update (1, 2, …; for the bias corrections) of `values`, with decoupled decay. All flat fp32
// of one size, changed in place: values, m, v.
void adamw_update(at::Tensor values, const at::Tensor& gradient, at::Tensor m, at::Tensor v, int64_t update,
                  double lr, const AdamWSettings& settings);

// Σ x² in fp64.
double squared_norm(const at::Tensor& x);

// What to multiply gradients with: min(1, clip / (norm + 1e-6)); 1 for clip = 0.
double clip_factor(double norm, double clip);

}  // namespace gaggle
