#include "model/loss.h"

#include <algorithm>

#include "base/error.h"
#include "kernel/cross_entropy.h"

namespace gaggle {
namespace {

constexpr int64_t chunk_values = int64_t{1} << 24;  // logits that exist at once

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

at::Tensor head_loss(const FrozenLinear& head, const at::Tensor& hidden, const TargetRows& targets,
                     const Rows& rows, at::Tensor* d_hidden) {
  GAGGLE_CHECK(rows.target_ids.size() == rows.target_rows.size());
  GAGGLE_CHECK(!d_hidden || rows.target_weights.size() == rows.target_rows.size());
  at::Tensor nll = at::empty({static_cast<int64_t>(rows.target_ids.size())}, at::kFloat);
  const std::span<float> all(nll.data_ptr<float>(), rows.target_ids.size());
  const int64_t step = std::max<int64_t>(1, chunk_values / head.d_out());
  const auto total = static_cast<int64_t>(targets.rows.size());
  for (int64_t begin = 0; begin < total; begin += step) {
    const int64_t end = std::min(total, begin + step);
    at::Tensor logits = head.forward(hidden.narrow(0, begin, end - begin));
    const std::span<const int64_t> starts(targets.starts.data() + begin, static_cast<size_t>(end - begin + 1));
    const auto first = static_cast<size_t>(starts.front()), count = static_cast<size_t>(starts.back()) - first;
    std::span<const float> weights;
    if (d_hidden) weights = std::span(rows.target_weights).subspan(first, count);
    cross_entropy_(logits, starts, std::span(rows.target_ids).subspan(first, count), weights,
                   all.subspan(first, count));
    if (d_hidden) d_hidden->narrow(0, begin, end - begin).copy_(head.dx(logits));
  }
  return nll;
}

}  // namespace gaggle
