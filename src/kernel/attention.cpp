#include "kernel/attention.h"

#include <ATen/Parallel.h>

#include <cstring>

#include "base/error.h"
#include "base/philox.h"
#include "kernel/dispatch.h"
#include "kernel/dropout.h"

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

// The way back: the slots of y [S · kv_heads, group · L, D] into these rows of out [T, kv_heads · group · D].
void unpack(const at::Tensor& y, int64_t s, const at::Tensor& to, const at::Tensor& from_slots, at::Tensor& out) {
  const int64_t kv = y.size(0) / s, d = y.size(2), group = out.size(1) / (kv * d), l = y.size(1) / group;
  if (!on_cpu(y)) {
    const at::Tensor rows = y.view({s, kv, group, l, d}).permute({0, 3, 1, 2, 4}).reshape({s * l, kv * group * d});
    out.index_copy_(0, to, rows.index_select(0, from_slots));
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

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPlan& plan,
                     const HeadShape& shape, const AttentionExtras& extras) {
  at::Tensor out = at::empty_like(q);
  for (const AttentionChunk& chunk : plan.chunks) {
    const Packed packed = probabilities(q, k, v, chunk, shape, extras);
    unpack(at::bmm(packed.kept, packed.v), chunk.sequences, chunk.rows, chunk.slots, out);
  }
  return out;
}

AttentionGrad attention_backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& dy,
                                 const AttentionPlan& plan, const HeadShape& shape, const AttentionExtras& extras) {
  GAGGLE_CHECK(!plan.has_past);
  AttentionGrad grad{at::empty_like(q), at::zeros_like(k), at::zeros_like(v)};
  for (const AttentionChunk& chunk : plan.chunks) {
    const Packed packed = probabilities(q, k, v, chunk, shape, extras);
    const auto to_keys = [&](const at::Tensor& y, at::Tensor& out) {
      unpack(y, chunk.sequences, chunk.pool_rows, chunk.key_slots, out);
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
  return grad;
}

}  // namespace gaggle
