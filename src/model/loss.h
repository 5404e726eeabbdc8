// The head and cross-entropy at scored tokens, in chunks: logits never exist for more than one chunk.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <span>

#include "base/microbatch.h"
#include "model/frozen_linear.h"

namespace gaggle {

// The scored tokens of a micro-batch with equal neighbours joined: targets [starts[i], starts[i + 1]) are what
// follows tokens[i].
struct ScoredTokens {
  std::vector<int64_t> tokens;
  std::vector<int64_t> starts;
};
ScoredTokens join_targets(const Microbatch& batch);

// d loss / d nll of every target, from the nll of them all: weights [N] of nll [N].
using TokenWeights = std::function<void(const Microbatch& batch, std::span<const float> nll, std::span<float> weights)>;

// The loss that a training pass takes the gradient of: Σ weight · nll.
struct LossOptions {
  double label_smoothing = 0;  // ε of kernel/cross_entropy.h: each nll is the smoothed loss
  // Empty: the weights are Microbatch::target_weights. Else the head runs twice, once for the nll that they
  // depend on and once for the gradient: its logits are too many to keep. Goes without label smoothing only.
  TokenWeights weights = {};
};

// Logits that exist at once: few on the CPU, whose caches they pass through; on a GPU enough to fill it.
int64_t head_chunk_values(at::Device device);

// hidden [R, d]: the joined scored tokens after the final norm → nll [N] fp32 on its device.
at::Tensor head_nll(const FrozenLinear& head, const at::Tensor& hidden, const ScoredTokens& targets,
                    const Microbatch& batch);
// The same (with label smoothing: the smoothed losses), and to d_hidden (of hidden's shape and type) the
// gradient of the loss.
at::Tensor head_backward(const FrozenLinear& head, const at::Tensor& hidden, const ScoredTokens& targets,
                         const Microbatch& batch, const LossOptions& loss, at::Tensor& d_hidden);

}  // namespace gaggle
