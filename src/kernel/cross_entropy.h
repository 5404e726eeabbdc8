// Cross-entropy on rows of logits, and its gradient in their place.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>

namespace gaggle {

// What rows of logits are held against, on their device: row r has the targets [starts[r], starts[r + 1]) of ids.
struct RowTargets {
  at::Tensor starts;   // [R + 1] int32
  at::Tensor ids;      // [N] int32
  at::Tensor weights;  // [N] fp32; undefined: no gradient is wanted
};
RowTargets row_targets(std::span<const int64_t> starts, std::span<const int32_t> ids, std::span<const float> weights,
                       at::Device device);

// logits [n, V]: rows [first, first + n) of the targets, whose nll = logsumexp - logit goes to their places of nll [N] fp32
// on the logits' device. With weights logits ← Σ_targets weight · (softmax - onehot), in place. Sums in fp32 (fp64).
// With label smoothing ε in [0, 1) (Szegedy et al., arXiv 1512.00567) what goes to `nll` is the smoothed loss
// (1-ε)·nll + (ε/V)·Σ_v -log p_v, and the gradient has (1-ε)·onehot + ε/V in onehot's place.
void cross_entropy_(at::Tensor& logits, const RowTargets& targets, int64_t first, at::Tensor& nll,
                    double smoothing = 0);

}  // namespace gaggle
