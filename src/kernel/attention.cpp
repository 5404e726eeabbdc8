#include "kernel/attention.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/philox.h"
#include "kernel/attention_blocks.h"
#include "kernel/dispatch.h"
#include "kernel/dropout.h"
#include "kernel/flash_attention.h"

namespace gaggle {
namespace {

// Rows x [R, kv_heads · group · D] by index [S · L] → [S · kv_heads, group · L, D]: one matrix per key head.
at::Tensor pack(const at::Tensor& x, const at::Tensor& index, int64_t s, int64_t l, int64_t kv, int64_t d) {
  const int64_t group = x.size(1) / (kv * d);
  if (!on_cpu(x))
    return x.view({x.size(0), kv, group, d})
        .index_select(0, index)
        .view({s, l, kv, group, d})
        .permute({0, 2, 3, 1, 4})
        .reshape({s * kv, group * l, d});
  at::Tensor y = at::empty({s * kv, group * l, d}, x.options());
  const size_t bytes = static_cast<size_t>(d) * x.element_size();
  const auto* from = static_cast<const char*>(x.data_ptr());
  auto* to = static_cast<char*>(y.data_ptr());
  const auto* rows = index.data_ptr<int64_t>();
  at::parallel_for(0, s, grain(l * x.size(1)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t j = 0; j < l; ++j)
        for (int64_t h = 0; h < kv * group; ++h)
          std::memcpy(to + static_cast<size_t>((i * kv * group + h) * l + j) * bytes,
                      from + static_cast<size_t>(rows[i * l + j] * kv * group + h) * bytes, bytes);
  });
  return y;
}

// The way back: the slots of y [S · kv_heads, group · L, D] into these rows of out [T, kv_heads · group · D], which may
// be wider than y where they are added to what is there.
void unpack(const at::Tensor& y, int64_t s, const at::Tensor& to, const at::Tensor& from_slots, at::Tensor& out,
            bool add = false) {
  const int64_t kv = y.size(0) / s, d = y.size(2), group = out.size(1) / (kv * d), l = y.size(1) / group;
  if (add || !on_cpu(y)) {
    const at::Tensor rows = y.view({s, kv, group, l, d}).permute({0, 3, 1, 2, 4}).reshape({s * l, kv * group * d});
    const at::Tensor values = rows.index_select(0, from_slots).to(out.scalar_type());
    add ? out.index_add_(0, to, values) : out.index_copy_(0, to, values);
    return;
  }
  const size_t bytes = static_cast<size_t>(d) * y.element_size();
  const auto* from = static_cast<const char*>(y.data_ptr());
  auto* all = static_cast<char*>(out.data_ptr());
  const auto *rows = to.data_ptr<int64_t>(), *slots = from_slots.data_ptr<int64_t>();
  at::parallel_for(0, to.numel(), grain(out.size(1)), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t h = 0; h < kv * group; ++h)
        std::memcpy(all + static_cast<size_t>(rows[n] * kv * group + h) * bytes,
                    from + static_cast<size_t>((slots[n] / l * kv * group + h) * l + slots[n] % l) * bytes, bytes);
  });
}

struct Packed {
  at::Tensor q, k, v;  // [S · kv_heads, group · Lq | Lk, D]
  at::Tensor p;        // probabilities [S · kv_heads, group · Lq, Lk]
  at::Tensor kept;     // the same after dropout
};

// In place: x as p above.
void drop(at::Tensor& x, const AttentionChunk& chunk, int64_t heads, const AttentionDropout& dropout) {
  const at::Tensor query_rows = chunk.query_rows.cpu();
  const auto* rows = query_rows.const_data_ptr<int64_t>();
  std::vector<uint64_t> keys;
  for (int64_t s = 0; s < chunk.sequences; ++s)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < chunk.queries; ++i)
        keys.push_back(random_key(
            "head", {dropout.keys[static_cast<size_t>(rows[s * chunk.queries + i])], static_cast<uint64_t>(h)}));
  at::Tensor by_row = x.view({-1, chunk.keys});
  dropout_(by_row, keys, dropout.p);
}

at::Tensor by_query(const at::Tensor& x, const AttentionChunk& chunk) {
  return x.view({chunk.sequences, -1, chunk.queries, chunk.keys});
}

Packed probabilities(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionChunk& chunk,
                     const HeadShape& shape, const AttentionExtras& extras) {
  Packed packed;
  const int64_t kv = shape.kv_heads, d = shape.head_dim;
  packed.q = pack(q, chunk.query_rows, chunk.sequences, chunk.queries, kv, d);
  packed.k = pack(k, chunk.key_rows, chunk.sequences, chunk.keys, kv, d);
  packed.v = pack(v, chunk.key_rows, chunk.sequences, chunk.keys, kv, d);
  packed.p = at::bmm(packed.q, packed.k.transpose(1, 2));
  at::Tensor scores = by_query(packed.p, chunk);
  masked_softmax_(scores, chunk.first, chunk.last, chunk.positions, shape.scale, extras.bias);
  packed.kept = packed.p;
  if (extras.dropout) {
    packed.kept = packed.p.clone();
    drop(packed.kept, chunk, shape.heads, *extras.dropout);
  }
  return packed;
}

void attend_chunk(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionChunk& chunk,
                  const HeadShape& shape, const AttentionExtras& extras, at::Tensor& y) {
  const Packed packed = probabilities(q, k, v, chunk, shape, extras);
  unpack(at::bmm(packed.kept, packed.v), chunk.sequences, chunk.rows, chunk.slots, y);
}

// add: gradients of keys and values are sums over several chunks.
void attend_chunk_backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& dy,
                           const AttentionChunk& chunk, const HeadShape& shape, const AttentionExtras& extras, bool add,
                           AttentionGrad& grad) {
  const Packed packed = probabilities(q, k, v, chunk, shape, extras);
  const auto to_keys = [&](const at::Tensor& y, at::Tensor& out) {
    unpack(y, chunk.sequences, chunk.pool_rows, chunk.key_slots, out, add);
  };
  const at::Tensor d = pack(dy, chunk.query_rows, chunk.sequences, chunk.queries, shape.kv_heads, shape.head_dim);
  to_keys(at::bmm(packed.kept.transpose(1, 2), d), grad.v);
  at::Tensor ds = at::bmm(d, packed.v.transpose(1, 2));
  if (extras.dropout) drop(ds, chunk, shape.heads, *extras.dropout);
  at::Tensor rows = by_query(ds, chunk);
  softmax_backward_(by_query(packed.p, chunk), rows, shape.scale);
  unpack(at::bmm(ds, packed.k), chunk.sequences, chunk.rows, chunk.slots, grad.q);
  to_keys(at::bmm(ds.transpose(1, 2), packed.q), grad.k);
}

// Long rows where our loops do not go (another device, fp64): as many of a row's queries at once as a chunk holds.
template <class Run>
void for_parts(const AttentionPlan& plan, const HeadShape& shape, at::Device device, const Run& run) {
  for (const AttentionRow& row : plan.long_rows) {
    const int64_t step = queries_at_once(row, shape);
    for (int64_t begin = 0; begin < row.rows; begin += step)
      run(chunk_of(plan, row, begin, std::min(row.rows, begin + step), device));
  }
}

bool by_blocks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return on_cpu(q) && on_cpu(k) && on_cpu(v);
}

}  // namespace

Attended attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPlan& plan,
                   const HeadShape& shape, const AttentionExtras& extras) {
  if (plan.flash) return flash_attention(q, k, v, plan, shape);
  Attended to{at::empty_like(q), {}, {}};
  for (const AttentionChunk& chunk : plan.chunks) attend_chunk(q, k, v, chunk, shape, extras, to.y);
  if (plan.long_rows.empty()) return to;
  if (by_blocks(q, k, v))
    attend_by_blocks(q, k, v, plan, shape, extras, to);
  else
    for_parts(plan, shape, q.device(),
              [&](const AttentionChunk& chunk) { attend_chunk(q, k, v, chunk, shape, extras, to.y); });
  return to;
}

AttentionGrad attention_backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Attended& forward,
                                 const at::Tensor& dy, const AttentionPlan& plan, const HeadShape& shape,
                                 const AttentionExtras& extras) {
  GAGGLE_CHECK(!plan.has_past);
  if (plan.flash) return flash_attention_backward(q, k, v, forward, dy, plan, shape);
  AttentionGrad grad{at::empty_like(q), at::zeros_like(k), at::zeros_like(v)};
  for (const AttentionChunk& chunk : plan.chunks) attend_chunk_backward(q, k, v, dy, chunk, shape, extras, false, grad);
  if (plan.long_rows.empty()) return grad;
  if (by_blocks(q, k, v)) {
    attend_by_blocks_backward(q, k, v, forward, dy, plan, shape, extras, grad);
    return grad;
  }
  AttentionGrad sums{grad.q, widened(grad.k), widened(grad.v)};
  for_parts(plan, shape, q.device(),
            [&](const AttentionChunk& chunk) { attend_chunk_backward(q, k, v, dy, chunk, shape, extras, true, sums); });
  return {sums.q, sums.k.to(k.scalar_type()), sums.v.to(v.scalar_type())};
}

}  // namespace gaggle
