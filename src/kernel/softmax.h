// Softmax over a range of each row, forward and backward: what attention does between its products.
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

// Added to the scores: what head h gives a key that stands d after the query (before it: d < 0), in column d +
// reach of by_distance [heads, 2 · reach + 1] fp32 (T5, arXiv 1910.10683). No distance is beyond reach.
struct PositionBias {
  at::Tensor by_distance;
  int64_t reach = 0;
};

// scores [S, heads, Lq, Lk] ← softmax(scale · scores + bias) over the keys [first, last) of query (s, q), 0
// elsewhere (all of a query without keys). first, last, positions (read with a bias alone) [S · Lq] int64.
void masked_softmax_(at::Tensor& scores, const at::Tensor& first, const at::Tensor& last, const at::Tensor& positions,
                     double scale, const PositionBias* bias);

// dp ← scale · p ∘ (dp - Σ p dp), shapes as above: the gradient of the unscaled scores.
void softmax_backward_(const at::Tensor& p, at::Tensor& dp, double scale);

}  // namespace gaggle
