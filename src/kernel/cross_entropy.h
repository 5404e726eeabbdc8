// Cross-entropy on rows of logits, and its gradient in their place.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>

namespace gaggle {

// logits [R, V]. Row r has the targets [starts[r], starts[r + 1]) of ids, whose nll = logsumexp - logit goes to
// `nll`. With weights (empty: none wanted) logits ← Σ_targets weight · (softmax - onehot), in place.
// Sums in fp32 (fp64).
// With label smoothing ε in [0, 1) (Szegedy et al., arXiv 1512.00567) what goes to `nll` is the smoothed loss
// (1-ε)·nll + (ε/V)·Σ_v -log p_v, and the gradient has (1-ε)·onehot + ε/V in onehot's place.
void cross_entropy_(at::Tensor& logits, std::span<const int64_t> starts, std::span<const int32_t> ids,
                    std::span<const float> weights, std::span<float> nll, double smoothing = 0);

}  // namespace gaggle
