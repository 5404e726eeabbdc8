// Routing rows into the weights that mix skills, and gradients back.
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

// Mixtures at one group of sites that share routing. [M, h, K] each.
struct MixingWeights {
  at::Tensor w;  // Σ_k w_qk = 1
  at::Tensor z;  // σ(Z), or the sample; undefined: w is fixed
};

// w = z / (Σ_k z + 1e-12) per head, then keep·w + (1 - keep)/K. `logits` [M, h·K]: σ(Z) without `noise`; with
// noise u in (0, 1), of logits' shape: RelaxedBernoulli samples z = σ((Z + log u - log(1 - u)) / temperature).
MixingWeights mixing_weights(const at::Tensor& logits, int64_t heads, double keep, const at::Tensor& noise = {},
                             double temperature = 1);

// d_logits [M, h·K] of d_w [M, h, K]; temperature 1 where nothing was sampled.
at::Tensor logits_gradient(const MixingWeights& weights, const at::Tensor& d_w, double keep, double temperature);

}  // namespace gaggle
