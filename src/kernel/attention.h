// Attention of ragged sequences: padding exists only in here. Queries are the pass's tokens, keys and values
// rows of a pool (those of the same tokens, of a key/value cache that holds them, or of an encoder's), found
// through indices.
#pragma once

#include <ATen/ATen.h>

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "base/microbatch.h"
#include "kernel/softmax.h"

namespace gaggle {

struct HeadShape {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  double scale = 1;  // of q · k
  bool bare = true;  // its scores have neither bias nor dropout
};

// Sequences of similar length, padded to one rectangle. Index tensors are int64 on the device.
struct AttentionChunk {
  int64_t sequences = 0, queries = 0, keys = 0;  // S, Lq, Lk
  at::Tensor query_rows;                         // [S · Lq] token of each query; padding: token 0
  at::Tensor key_rows;                           // [S · Lk] row of the pool; padding: row 0
  at::Tensor first, last;                        // [S · Lq] keys [first, last) are seen; padding: none
  at::Tensor positions;                          // [S · Lq] of the query among the keys of its sequence
  // What is no padding: tokens [n] and their slots in [S · Lq]; rows of the pool [m] and their slots in [S · Lk].
  at::Tensor rows, slots, pool_rows, key_slots;
};

// One sequence: its tokens of the pass, and its keys.
struct AttentionRow {
  int64_t begin = 0, rows = 0;    // tokens [begin, begin + rows)
  int64_t position = 0;           // of the first of them among the keys
  std::vector<int64_t> key_rows;  // rows of the pool, in order
  int64_t keys() const { return static_cast<int64_t>(key_rows.size()); }
};

// What a query sees: its whole sequence, or the keys up to itself, the last `window` of them (0: all).
struct AttentionMask {
  bool causal = true;
  int64_t window = 0;
};
struct SeenKeys {
  int64_t begin = 0, end = 0;
};
// The keys that queries [begin, end) of a row see, some or all of them.
SeenKeys keys_seen(const AttentionRow& row, const AttentionMask& mask, int64_t begin, int64_t end);

// All sequences at once, for kernel/flash_attention.h.
struct FlashRows {
  at::Tensor query_starts, key_starts;  // [S + 1] int32
  int64_t most_queries = 0, most_keys = 0;
  at::Tensor key_rows;  // [K] rows of the pool; undefined: its rows [key_begin, key_begin + K) as they lie
  int64_t key_begin = 0, key_count = 0;
};

// Flash attention takes all rows, where it can. Else short rows go into chunks, whose scores are held as they are, and long
// rows by blocks, in memory that grows with their length alone. Sizes, type and kind of device decide, so that a micro-batch
// always has the same bits.
struct AttentionPlan {
  std::optional<FlashRows> flash;
  std::vector<AttentionChunk> chunks;
  std::vector<AttentionRow> long_rows;
  AttentionMask mask;
  bool has_past = false;  // some keys are not rows of this pass: forward only
};

// Queries [begin, end) of a long row with the keys that they see, as a chunk.
AttentionChunk chunk_of(const AttentionPlan& plan, const AttentionRow& row, int64_t begin, int64_t end,
                        at::Device device);
// How many queries of a long row one such chunk takes, so that its scores stay within the limit of a chunk.
int64_t queries_at_once(const AttentionRow& row, const HeadShape& shape);

// `like`: type and device of q, k and v.
// Causal: a token sees the past of its sequence, then the sequence up to itself. pool_begin: the pool's row of
// the first token of this pass. window: how many keys a query sees, 0: all.
AttentionPlan plan_attention(const Microbatch& batch, int64_t pool_begin, int64_t window, const HeadShape& shape,
                             const at::TensorOptions& like);
// Every token sees its whole sequence.
AttentionPlan plan_encoder_attention(const TokenSequences& tokens, const HeadShape& shape,
                                     const at::TensorOptions& like);
// Every token of sequence s sees the rows [starts[e], starts[e + 1]) of the pool, e = Microbatch::sources[s].
AttentionPlan plan_cross_attention(const Microbatch& batch, std::span<const int64_t> starts, const HeadShape& shape,
                                   const at::TensorOptions& like);

// Dropout of probabilities, keyed by query (kernel/dropout.h); each head derives its key from that.
struct AttentionDropout {
  double p = 0;
  std::vector<uint64_t> keys;  // [T]
};

struct AttentionExtras {
  const PositionBias* bias = nullptr;
  const AttentionDropout* dropout = nullptr;
};

// What the backward pass reads of the forward pass, besides q, k and v.
struct Attended {
  at::Tensor y;
  // log Σ exp of a query's scores, fp32: [T, heads] of rows that go by blocks on the CPU, as flash attention has it; else
  // undefined.
  at::Tensor lse;
  std::array<at::Tensor, 2> random;  // flash attention's, which its backward pass asks for
};

// softmax(scale · q kᵀ + bias) v: q [T, heads · head_dim], k, v [pool, kv_heads · head_dim] → y [T, heads ·
// head_dim]. Query head h reads key head h / (heads / kv_heads). Softmax in fp32.
Attended attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPlan& plan,
                   const HeadShape& shape, const AttentionExtras& extras = {});

struct AttentionGrad {
  at::Tensor q, k, v;  // shapes of q, k, v
};
// Probabilities are computed again. The plan must have no past, and only flash attention takes a pool's row that is a key
// of two sequences.
AttentionGrad attention_backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Attended& forward,
                                 const at::Tensor& dy, const AttentionPlan& plan, const HeadShape& shape,
                                 const AttentionExtras& extras = {});

// Bytes that both hold while they run, besides results, over micro-batches of `tokens` tokens with rows of at most
// `longest` keys; with backward as much as the backward pass.
int64_t attention_bytes(const HeadShape& shape, int64_t tokens, int64_t longest, const at::TensorOptions& like,
                        bool backward);

}  // namespace gaggle
