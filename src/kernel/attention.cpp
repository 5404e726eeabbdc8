#include "kernel/attention.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernel/dispatch.h"
#include "kernel/softmax.h"

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

// The way back: the chunk's real rows of y [S · kv_heads, group · L, D] into out [T, kv_heads · group · D].
void unpack(const at::Tensor& y, const AttentionChunk& chunk, at::Tensor& out, int64_t kv) {
  const int64_t s = chunk.sequences, l = chunk.queries, d = y.size(2), group = y.size(1) / l;
  if (!on_cpu(y)) {
    const at::Tensor rows =
        y.view({s, kv, group, l, d}).permute({0, 3, 1, 2, 4}).reshape({s * l, kv * group * d});
    out.index_copy_(0, chunk.rows, rows.index_select(0, chunk.slots));
    return;
  }
  const size_t bytes = static_cast<size_t>(d) * y.element_size();
  const auto* from = static_cast<const char*>(y.data_ptr());
  auto* to = static_cast<char*>(out.data_ptr());
  const auto *rows = chunk.rows.data_ptr<int64_t>(), *slots = chunk.slots.data_ptr<int64_t>();
  at::parallel_for(0, chunk.rows.numel(), grain(out.size(1)), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t h = 0; h < kv * group; ++h)
        std::memcpy(to + static_cast<size_t>(rows[n] * kv * group + h) * bytes,
                    from + static_cast<size_t>((slots[n] / l * kv * group + h) * l + slots[n] % l) * bytes,
                    bytes);
  });
}

struct Packed {
  at::Tensor q, k, v;  // [S · kv_heads, group · Lq | Lk, D]
  at::Tensor p;        // probabilities [S · kv_heads, group · Lq, Lk]
};

at::Tensor by_query(const at::Tensor& x, const AttentionChunk& chunk) {
  return x.view({chunk.sequences, -1, chunk.queries, chunk.keys});
}

Packed probabilities(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionChunk& chunk,
                     const HeadShape& shape) {
  Packed packed;
  const int64_t kv = shape.kv_heads, d = shape.head_dim;
  packed.q = pack(q, chunk.query_rows, chunk.sequences, chunk.queries, kv, d);
  packed.k = pack(k, chunk.key_rows, chunk.sequences, chunk.keys, kv, d);
  packed.v = pack(v, chunk.key_rows, chunk.sequences, chunk.keys, kv, d);
  packed.p = at::bmm(packed.q, packed.k.transpose(1, 2));
  at::Tensor scores = by_query(packed.p, chunk);
  masked_softmax_(scores, chunk.first, chunk.last, 1 / std::sqrt(static_cast<double>(d)));
  return packed;
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPlan& plan,
                     const HeadShape& shape) {
  at::Tensor out = at::empty_like(q);
  for (const AttentionChunk& chunk : plan.chunks) {
    const Packed packed = probabilities(q, k, v, chunk, shape);
    unpack(at::bmm(packed.p, packed.v), chunk, out, shape.kv_heads);
  }
  return out;
}

AttentionGrad attention_backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& dy, const AttentionPlan& plan, const HeadShape& shape) {
  GAGGLE_CHECK(!plan.has_past);
  AttentionGrad grad{at::empty_like(q), at::empty_like(k), at::empty_like(v)};
  for (const AttentionChunk& chunk : plan.chunks) {
    const Packed packed = probabilities(q, k, v, chunk, shape);
    const at::Tensor d =
        pack(dy, chunk.query_rows, chunk.sequences, chunk.queries, shape.kv_heads, shape.head_dim);
    unpack(at::bmm(packed.p.transpose(1, 2), d), chunk, grad.v, shape.kv_heads);
    const at::Tensor ds = at::bmm(d, packed.v.transpose(1, 2));
    at::Tensor rows = by_query(ds, chunk);
    softmax_backward_(by_query(packed.p, chunk), rows, 1 / std::sqrt(static_cast<double>(shape.head_dim)));
    unpack(at::bmm(ds, packed.k), chunk, grad.q, shape.kv_heads);
    unpack(at::bmm(ds.transpose(1, 2), packed.q), chunk, grad.k, shape.kv_heads);
  }
  return grad;
}

}  // namespace gaggle
