// Causal attention of ragged sequences: padding exists only in here. Queries are rows, keys and values rows of
// a pool (the rows themselves, or a key/value cache that holds them), both found through an index.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "base/rows.h"

namespace gaggle {

// Sequences of similar length, padded to one rectangle. Index tensors are int64 on the device.
struct AttentionChunk {
  int64_t sequences = 0, queries = 0, keys = 0;  // S, Lq, Lk
  at::Tensor query_rows;                         // [S · Lq] row of each query; padding: row 0
  at::Tensor key_rows;                           // [S · Lk] row of the pool; padding: row 0
  at::Tensor first, last;                        // [S · Lq] keys [first, last) are seen; padding: none
  at::Tensor rows, slots;                        // [n] the chunk's real rows and their places in [S · Lq]
};

struct AttentionPlan {
  std::vector<AttentionChunk> chunks;
  bool has_past = false;  // some keys are not rows of this pass: forward only
};

struct HeadShape {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
};

// own_begin: the pool's row that holds the first row of this pass. window: how many keys a query sees, 0: all.
AttentionPlan plan_attention(const Rows& rows, int64_t own_begin, int64_t window, const HeadShape& shape,
                             at::Device device);

// softmax(q kᵀ / √head_dim) v: q [T, heads · head_dim], k, v [pool, kv_heads · head_dim] → [T, heads ·
// head_dim]. Query head h reads key head h / (heads / kv_heads). Softmax in fp32.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPlan& plan,
                     const HeadShape& shape);

struct AttentionGrad {
  at::Tensor q, k, v;  // shapes of q, k, v
};
// Probabilities are computed again. The plan must have no past.
AttentionGrad attention_backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& dy, const AttentionPlan& plan, const HeadShape& shape);

}  // namespace gaggle
