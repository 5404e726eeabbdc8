#include "model/loss.h"

#include <algorithm>

#include "base/error.h"
#include "kernel/cross_entropy.h"

namespace gaggle {
namespace {

constexpr int64_t chunk_values = int64_t{1} << 24;  // logits that exist at once

// The nll of all targets; with d_hidden also its gradient with these weights [N].
at::Tensor by_chunks(const FrozenLinear& head, const at::Tensor& hidden, const TargetRows& targets,
                     const Rows& rows, std::span<const float> weights, double smoothing, at::Tensor* d_hidden) {
  GAGGLE_CHECK(rows.target_ids.size() == rows.target_rows.size());
  at::Tensor nll = at::empty({static_cast<int64_t>(rows.target_ids.size())}, at::kFloat);
  const std::span<float> all(nll.data_ptr<float>(), rows.target_ids.size());
  const int64_t step = std::max<int64_t>(1, chunk_values / head.d_out());
  const auto total = static_cast<int64_t>(targets.rows.size());
  for (int64_t begin = 0; begin < total; begin += step) {
    const int64_t end = std::min(total, begin + step);
    at::Tensor logits = head.forward(hidden.narrow(0, begin, end - begin));
    const std::span<const int64_t> starts(targets.starts.data() + begin, static_cast<size_t>(end - begin + 1));
    const auto first = static_cast<size_t>(starts.front()), count = static_cast<size_t>(starts.back()) - first;
    cross_entropy_(logits, starts, std::span(rows.target_ids).subspan(first, count),
                   d_hidden ? weights.subspan(first, count) : weights, all.subspan(first, count), smoothing);
    if (d_hidden) d_hidden->narrow(0, begin, end - begin).copy_(head.dx(logits));
  }
  return nll;
}

}  // namespace

TargetRows join_targets(const Rows& rows) {
  TargetRows joined;
  for (size_t n = 0; n < rows.target_rows.size(); ++n) {
    if (n > 0 && rows.target_rows[n] == rows.target_rows[n - 1]) continue;
    joined.rows.push_back(rows.target_rows[n]);
    joined.starts.push_back(static_cast<int64_t>(n));
  }
  joined.starts.push_back(static_cast<int64_t>(rows.target_rows.size()));
  return joined;
}

at::Tensor head_nll(const FrozenLinear& head, const at::Tensor& hidden, const TargetRows& targets,
                    const Rows& rows) {
  return by_chunks(head, hidden, targets, rows, {}, 0, nullptr);
}

at::Tensor head_backward(const FrozenLinear& head, const at::Tensor& hidden, const TargetRows& targets,
                         const Rows& rows, const LossOptions& loss, at::Tensor& d_hidden) {
  if (!loss.weights) {
    GAGGLE_CHECK(rows.target_weights.size() == rows.target_rows.size());
    return by_chunks(head, hidden, targets, rows, rows.target_weights, loss.label_smoothing, &d_hidden);
  }
  GAGGLE_CHECK(loss.label_smoothing == 0, "weights that depend on the nll want it unsmoothed");
  const at::Tensor nll = head_nll(head, hidden, targets, rows);
  std::vector<float> weights(rows.target_rows.size());
  loss.weights(rows, {nll.const_data_ptr<float>(), weights.size()}, weights);
  return by_chunks(head, hidden, targets, rows, weights, 0, &d_hidden);
}

}  // namespace gaggle
