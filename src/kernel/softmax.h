// Softmax over a range of each row, forward and backward: what attention does between its products.
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

// What is added to the scaled scores: table[head][reach + key - position of the query]. Undefined: nothing.
struct RowBias {
  at::Tensor table;      // [heads, 2 · reach + 1] fp32
  at::Tensor positions;  // [S · Lq] int64
  int64_t reach = 0;     // no distance that is seen is longer
};

// scores [S, heads, Lq, Lk] ← softmax(scale · scores + bias) over the keys [first, last) of query (s, q), 0
// elsewhere (all of a query without keys). first, last [S · Lq] int64.
void masked_softmax_(at::Tensor& scores, const at::Tensor& first, const at::Tensor& last, double scale,
                     const RowBias& bias = {});

// dp ← scale · p ∘ (dp - Σ p dp), shapes as above: the gradient of the unscaled scores.
void softmax_backward_(const at::Tensor& p, at::Tensor& dp, double scale);

}  // namespace gaggle
