// Cross-entropy on rows of logits, and its gradient in their place.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>

namespace gaggle {

// logits [R, V]. Row r has the targets [starts[r], starts[r + 1]) of ids, whose nll = logsumexp - logit goes to
// `nll`. With weights (empty: none wanted) logits ← Σ_targets weight · (softmax - onehot), in place. Sums in
// fp32 (fp64).
void cross_entropy_(at::Tensor& logits, std::span<const int64_t> starts, std::span<const int32_t> ids,
                    std::span<const float> weights, std::span<float> nll);

}  // namespace gaggle
