// Softmax over a range of each row, forward and backward: what attention does between its products.
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

// scores [S, heads, Lq, Lk] ← softmax(scale · scores) over the keys [first, last) of query (s, q), 0 elsewhere
// (all of a query without keys). first, last [S · Lq] int64.
void masked_softmax_(at::Tensor& scores, const at::Tensor& first, const at::Tensor& last, double scale);

// dp ← scale · p ∘ (dp - Σ p dp), shapes as above: the gradient of the unscaled scores.
void softmax_backward_(const at::Tensor& p, at::Tensor& dp, double scale);

}  // namespace gaggle
