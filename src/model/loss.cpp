#include "model/loss.h"

#include <algorithm>

#include "base/error.h"
#include "kernel/cross_entropy.h"

namespace gaggle {
namespace {

constexpr int64_t chunk_values = int64_t{1} << 24;  // logits that exist at once

// The nll of all targets; with d_hidden also its gradient with these weights [N].
at::Tensor by_chunks(const FrozenLinear& head, const at::Tensor& hidden, const ScoredTokens& targets,
                     const Microbatch& batch, std::span<const float> weights, double smoothing, at::Tensor* d_hidden) {
  GAGGLE_CHECK(batch.target_ids.size() == batch.scored_tokens.size());
  at::Tensor nll = at::empty({static_cast<int64_t>(batch.target_ids.size())}, at::kFloat);
  const std::span<float> all(nll.data_ptr<float>(), batch.target_ids.size());
  const int64_t step = std::max<int64_t>(1, chunk_values / head.d_out());
  const auto total = static_cast<int64_t>(targets.tokens.size());
  for (int64_t begin = 0; begin < total; begin += step) {
    const int64_t end = std::min(total, begin + step);
    at::Tensor logits = head.forward(hidden.narrow(0, begin, end - begin));
    const std::span<const int64_t> starts(targets.starts.data() + begin, static_cast<size_t>(end - begin + 1));
    const auto first = static_cast<size_t>(starts.front()), count = static_cast<size_t>(starts.back()) - first;
    cross_entropy_(logits, starts, std::span(batch.target_ids).subspan(first, count),
                   d_hidden ? weights.subspan(first, count) : weights, all.subspan(first, count), smoothing);
    if (d_hidden) d_hidden->narrow(0, begin, end - begin).copy_(head.dx(logits));
  }
  return nll;
}

}  // namespace

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
  return by_chunks(head, hidden, targets, batch, {}, 0, nullptr);
}

at::Tensor head_backward(const FrozenLinear& head, const at::Tensor& hidden, const ScoredTokens& targets,
                         const Microbatch& batch, const LossOptions& loss, at::Tensor& d_hidden) {
  if (!loss.weights) {
    GAGGLE_CHECK(batch.target_weights.size() == batch.scored_tokens.size());
    return by_chunks(head, hidden, targets, batch, batch.target_weights, loss.label_smoothing, &d_hidden);
  }
  GAGGLE_CHECK(loss.label_smoothing == 0, "weights that depend on the nll want it unsmoothed");
  const at::Tensor nll = head_nll(head, hidden, targets, batch);
  std::vector<float> weights(batch.scored_tokens.size());
  loss.weights(batch, {nll.const_data_ptr<float>(), weights.size()}, weights);
  return by_chunks(head, hidden, targets, batch, weights, 0, &d_hidden);
}

}  // namespace gaggle
