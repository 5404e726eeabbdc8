#include "kernel/flash_attention.h"

#include <algorithm>

#include "base/error.h"
#include "kernel/upload.h"

namespace gaggle {
namespace {

// [n, heads · head_dim] → [n, heads, head_dim].
at::Tensor by_head(const at::Tensor& x, const HeadShape& shape) { return x.view({x.size(0), -1, shape.head_dim}); }

// The keys (or values) in the order of their sequences.
at::Tensor keys_of(const at::Tensor& pool, const FlashRows& rows) {
  return rows.key_rows.defined() ? pool.index_select(0, rows.key_rows) : pool.narrow(0, rows.key_begin, rows.key_count);
}

// The way back of keys_of: what the pool's other rows get is nothing; several texts may have read one row.
at::Tensor to_pool(const at::Tensor& grad, const at::Tensor& pool, const FlashRows& rows) {
  const at::Tensor flat = grad.reshape({grad.size(0), pool.size(1)});
  if (rows.key_rows.defined())
    return at::zeros(pool.sizes(), pool.options().dtype(at::kFloat))
        .index_add_(0, rows.key_rows, flat.to(at::kFloat))
        .to(pool.scalar_type());
  if (rows.key_count == pool.size(0)) return flat;
  at::Tensor all = at::zeros_like(pool);
  all.narrow(0, rows.key_begin, rows.key_count).copy_(flat);
  return all;
}

// Of the keys before a query's own; none: all of them.
std::optional<int64_t> window_of(const AttentionMask& mask) {
  return mask.window > 0 ? std::optional(mask.window - 1) : std::nullopt;
}
std::optional<int64_t> behind(const AttentionMask& mask) {
  return mask.window > 0 ? std::optional<int64_t>(0) : std::nullopt;
}

}  // namespace

bool takes_flash(const HeadShape& shape, const at::TensorOptions& like) {
  return shape.bare && !like.device().is_cpu() && like.dtype() == at::kBFloat16 && shape.head_dim <= 256 &&
         shape.head_dim % 8 == 0;
}

FlashRows flash_rows(std::span<const AttentionRow> rows, at::Device device) {
  FlashRows all;
  std::vector<int32_t> starts = {0}, key_starts = {0};
  std::vector<int64_t> keys;
  for (const AttentionRow& row : rows) {
    GAGGLE_CHECK(row.begin == starts.back(), "tokens of a pass out of order");
    starts.push_back(static_cast<int32_t>(row.begin + row.rows));
    keys.insert(keys.end(), row.key_rows.begin(), row.key_rows.end());
    key_starts.push_back(static_cast<int32_t>(keys.size()));
    all.most_queries = std::max(all.most_queries, row.rows);
    all.most_keys = std::max(all.most_keys, row.keys());
  }
  all.key_begin = keys.empty() ? 0 : keys.front();
  all.key_count = static_cast<int64_t>(keys.size());
  const bool as_they_lie = std::ranges::adjacent_find(keys, [](auto a, auto b) { return b != a + 1; }) == keys.end();
  if (!as_they_lie) all.key_rows = to_device(keys, device);
  const auto count = static_cast<int64_t>(starts.size());
  starts.insert(starts.end(), key_starts.begin(), key_starts.end());
  const at::Tensor both = to_device(starts, device);
  all.query_starts = both.narrow(0, 0, count);
  all.key_starts = both.narrow(0, count, count);
  return all;
}

Attended flash_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPlan& plan,
                         const HeadShape& shape) {
  const FlashRows& rows = *plan.flash;
  Attended to;
  at::Tensor y;
  std::tie(y, to.lse, to.random[0], to.random[1], std::ignore) = at::_flash_attention_forward(
      by_head(q, shape), by_head(keys_of(k, rows), shape), by_head(keys_of(v, rows), shape), rows.query_starts,
      rows.key_starts, rows.most_queries, rows.most_keys, /*dropout_p=*/0, plan.mask.causal,
      /*return_debug_mask=*/false, shape.scale, window_of(plan.mask), behind(plan.mask));
  to.y = y.view(q.sizes());
  return to;
}

AttentionGrad flash_attention_backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                       const Attended& forward, const at::Tensor& dy, const AttentionPlan& plan,
                                       const HeadShape& shape) {
  const FlashRows& rows = *plan.flash;
  const auto [dq, dk, dv] = at::_flash_attention_backward(
      by_head(dy, shape), by_head(q, shape), by_head(keys_of(k, rows), shape), by_head(keys_of(v, rows), shape),
      by_head(forward.y, shape), forward.lse, rows.query_starts, rows.key_starts, rows.most_queries, rows.most_keys,
      /*dropout_p=*/0, plan.mask.causal, forward.random[0], forward.random[1], shape.scale, window_of(plan.mask),
      behind(plan.mask));
  return {dq.reshape(q.sizes()), to_pool(dk, k, rows), to_pool(dv, v, rows)};
}

}  // namespace gaggle
