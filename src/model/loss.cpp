#include "model/loss.h"

#include <algorithm>

#include "base/error.h"
#include "kernel/cross_entropy.h"

namespace gaggle {
namespace {

RowTargets targets_on(at::Device device, const FrozenLinear& head, const ScoredTokens& joined, const Microbatch& batch,
                      std::span<const float> weights) {
  GAGGLE_CHECK(batch.target_ids.size() == batch.scored_tokens.size());
  for (const int32_t id : batch.target_ids) GAGGLE_CHECK(id >= 0 && id < head.d_out(), "token id {}", id);
  return row_targets(joined.starts, batch.target_ids, weights, device);
}

// The nll of all targets; with d_hidden also its gradient.
at::Tensor by_chunks(const FrozenLinear& head, const at::Tensor& hidden, const RowTargets& targets, double smoothing,
                     at::Tensor* d_hidden) {
  at::Tensor nll = at::empty({targets.ids.size(0)}, hidden.options().dtype(at::kFloat));
  const int64_t step = std::max<int64_t>(1, head_chunk_values(hidden.device()) / head.d_out()), total = hidden.size(0);
  for (int64_t begin = 0; begin < total; begin += step) {
    const int64_t rows = std::min(total - begin, step);
    at::Tensor logits = head.forward(hidden.narrow(0, begin, rows));
    cross_entropy_(logits, targets, begin, nll, smoothing);
    if (d_hidden) d_hidden->narrow(0, begin, rows).copy_(head.dx(logits));
  }
  return nll;
}

}  // namespace

int64_t head_chunk_values(at::Device device) { return int64_t{1} << (device.is_cpu() ? 24 : 27); }

ScoredTokens join_targets(const Microbatch& batch) {
  ScoredTokens joined;
  for (size_t n = 0; n < batch.scored_tokens.size(); ++n) {
    if (n > 0 && batch.scored_tokens[n] == batch.scored_tokens[n - 1]) continue;
    joined.tokens.push_back(batch.scored_tokens[n]);
    joined.starts.push_back(static_cast<int64_t>(n));
  }
  joined.starts.push_back(static_cast<int64_t>(batch.scored_tokens.size()));
  return joined;
}

at::Tensor head_nll(const FrozenLinear& head, const at::Tensor& hidden, const ScoredTokens& targets,
                    const Microbatch& batch) {
  return by_chunks(head, hidden, targets_on(hidden.device(), head, targets, batch, {}), 0, nullptr);
}

at::Tensor head_backward(const FrozenLinear& head, const at::Tensor& hidden, const ScoredTokens& targets,
                         const Microbatch& batch, const LossOptions& loss, at::Tensor& d_hidden) {
  const auto with = [&](std::span<const float> weights) {
    GAGGLE_CHECK(weights.size() == batch.scored_tokens.size());
    const RowTargets there = targets_on(hidden.device(), head, targets, batch, weights);
    return by_chunks(head, hidden, there, loss.label_smoothing, &d_hidden);
  };
  if (!loss.weights) return with(batch.target_weights);
  GAGGLE_CHECK(loss.label_smoothing == 0, "weights that depend on the nll want it unsmoothed");
  const at::Tensor nll = head_nll(head, hidden, targets, batch).cpu();
  std::vector<float> weights(batch.scored_tokens.size());
  loss.weights(batch, {nll.const_data_ptr<float>(), weights.size()}, weights);
  return with(weights);
}

}  // namespace gaggle
