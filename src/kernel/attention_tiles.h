// What the passes of kernel/attention_blocks share: the work, a thread's space, and tiles of scores between their
// products: bias, mask, softmax, dropout.
#pragma once

#include "base/philox.h"
#include "kernel/attention.h"
#include "kernel/block_rows.h"

namespace gaggle::tiles {

inline constexpr float hidden = -3.0e38f;  // the score of a key that a query does not see

// Scores, and what is added to them, are held times log2 e: 2^x is cheaper than e^x.
inline constexpr double log2_e = 1.4426950408889634;

// Some of a row's results: those of one head's queries [begin, begin + 64), which see these keys; or of one key head's
// keys, which are seen by these queries.
struct Unit {
  const AttentionRow* row;
  int64_t head, begin;
  SeenKeys seen;
};

// What all units share.
template <class X>
struct Work {
  X *q = nullptr, *k = nullptr, *v = nullptr, *y = nullptr;
  X *dy = nullptr, *dq = nullptr, *dk = nullptr, *dv = nullptr;
  float* lse = nullptr;    // [T, heads]
  float* delta = nullptr;  // [T, heads], Σ dy ∘ y
  HeadShape shape;
  float score_scale = 1;  // of q · k, times log2 e
  bool causal = true;
  int64_t window = 0;
  const float *bias = nullptr, *reversed_bias = nullptr;  // [heads, bias_width]; column `bias_centre` is distance 0
  int64_t bias_width = 0, bias_centre = 0;
  const uint64_t* keys = nullptr;  // of dropout, [T, heads]
  uint64_t dropped_below = 0;
  float kept_scale = 1;
};

// 128 rows, as read_along and read_across have them.
template <class Kind>
struct Block {
  typename Kind::Cell *along, *across;
};

// Of one thread. d is the heads' width.
template <class Kind>
struct Space {
  typename Kind::Cell *lanes_a, *lanes_b;  // [cells(d), 64]
  Block<Kind> rows_a, rows_b;
  float *sums_a, *sums_b;           // [d, 64]
  float *scores, *grads, *factors;  // [128, 64]
  float *top, *total, *scales;      // [128], of lanes or rows
};

inline int64_t floats_of(int64_t d) { return 4 * d * width + 2 * depth * (d + 1) + 3 * depth * width + 3 * depth; }

template <class Kind>
Space<Kind> cut(float* at, int64_t d) {
  const auto take = [&](int64_t n) {
    float* begin = at;
    at += n;
    return begin;
  };
  const auto take_cells = [&](int64_t n) { return reinterpret_cast<typename Kind::Cell*>(take(n)); };
  Space<Kind> s;
  for (auto** lanes_of : {&s.lanes_a, &s.lanes_b}) *lanes_of = take_cells(cells<Kind>(d) * width);
  for (Block<Kind>* block : {&s.rows_a, &s.rows_b}) {
    block->along = take_cells(depth * cells<Kind>(d));
    block->across = Kind::values == 1 ? block->along : take_cells(cells<Kind>(depth) * d);
  }
  for (float** sums : {&s.sums_a, &s.sums_b}) *sums = take(d * width);
  for (float** tile : {&s.scores, &s.grads, &s.factors}) *tile = take(depth * width);
  for (float** each : {&s.top, &s.total, &s.scales}) *each = take(depth);
  return s;
}

template <class X>
GAGGLE_SHARED Rows<X> queries_of(const Work<X>& w, X* x, const AttentionRow& row, int64_t head) {
  return {x + head * w.shape.head_dim, w.shape.heads * w.shape.head_dim, row.begin};
}
template <class X>
GAGGLE_SHARED Rows<X> keys_of(const Work<X>& w, X* x, const AttentionRow& row, int64_t kv_head) {
  return {x + kv_head * w.shape.head_dim, w.shape.kv_heads * w.shape.head_dim, 0, row.key_rows.data()};
}

// Distances in a tile: lane c of row j is at e = corner - j + c; with queries as lanes e = query - key, with keys as
// lanes e = key - query. Seen are low <= e <= high; bias[e] is added, where there is one.
struct Distances {
  int64_t corner;
  float low = -1e9f, high = 1e9f;
  const float* bias = nullptr;
};
template <class X>
GAGGLE_SHARED Distances distances(const Work<X>& w, int64_t query, int64_t key, int64_t head, bool keys_are_lanes) {
  Distances d{keys_are_lanes ? key - query : query - key};
  if (w.causal) {
    const float reach = w.window > 0 ? static_cast<float>(w.window - 1) : 1e9f;
    (keys_are_lanes ? d.high : d.low) = 0;
    (keys_are_lanes ? d.low : d.high) = keys_are_lanes ? -reach : reach;
  }
  const float* table = keys_are_lanes ? w.bias : w.reversed_bias;
  if (table) d.bias = table + head * w.bias_width + w.bias_centre;
  return d;
}

// Adds the bias to n rows of scores and hides what is not seen.
GAGGLE_SHARED void shape_scores(const Distances& all, int64_t n, float* scores) {
  const auto lowest = static_cast<float>(all.corner - (n - 1)), highest = static_cast<float>(all.corner + width - 1);
  const bool hides = lowest < all.low || highest > all.high;
  if (!hides && !all.bias) return;
  Vector ramp, v, b;
  for (int64_t c = 0; c < lanes; ++c) ramp[c] = static_cast<float>(c);
  for (int64_t j = 0; j < n; ++j)
    for (int64_t c = 0; c < width; c += lanes) {
      load(scores + j * width + c, v);
      if (all.bias) {
        load(all.bias + all.corner - j + c, b);
        v += b;
      }
      const Vector e = ramp + static_cast<float>(all.corner - j + c);
      v = e < all.low ? Vector{} + hidden : v;
      v = e > all.high ? Vector{} + hidden : v;
      store(scores + j * width + c, v);
    }
}

// Factors of dropout: lane c of row j belongs to (query, key) + (c, j), or + (j, c) with keys as lanes.
template <class X>
GAGGLE_SHARED void fill_factors(const Work<X>& w, const AttentionRow& row, int64_t head, int64_t query, int64_t key,
                                int64_t n, bool keys_are_lanes, float* factors) {
  for (int64_t j = 0; j < n; ++j)
    for (int64_t c = 0; c < width; ++c) {
      const int64_t q = query + (keys_are_lanes ? j : c), k = key + (keys_are_lanes ? c : j);
      factors[j * width + c] = 0;
      if (q >= row.rows) continue;
      const uint64_t bits = random_bits(w.keys[(row.begin + q) * w.shape.heads + head], static_cast<uint64_t>(k));
      factors[j * width + c] = bits < w.dropped_below ? 0 : w.kept_scale;
    }
}
GAGGLE_SHARED void times(const float* factors, int64_t n, float* x) {
  Vector v, f;
  for (int64_t i = 0; i < n * width; i += lanes) {
    load(x + i, v);
    load(factors + i, f);
    v *= f;
    store(x + i, v);
  }
}

// One more block of n keys: scores become 2^(score - top) with the new top of each lane; the sums so far follow it.
template <class Kind>
GAGGLE_SHARED void soften(int64_t n, int64_t d, const Space<Kind>& s) {
  for (int64_t c = 0; c < width; c += lanes) {
    Vector old, top, total, v, factor;
    load(s.top + c, old);
    load(s.total + c, total);
    top = old > -1.0e30f ? old : Vector{} - 1.0e30f;  // above `hidden`: a lane that sees nothing yet sums to 0
    for (int64_t j = 0; j < n; ++j) {
      load(s.scores + j * width + c, v);
      top = v > top ? v : top;
    }
    exp2(old - top, factor);
    total *= factor;
    for (int64_t j = 0; j < n; ++j) {
      load(s.scores + j * width + c, v);
      exp2(v - top, v);
      total += v;
      store(s.scores + j * width + c, v);
    }
    for (int64_t i = 0; i < d; ++i) {
      load(s.sums_a + i * width + c, v);
      v *= factor;
      store(s.sums_a + i * width + c, v);
    }
    store(s.top + c, top);
    store(s.total + c, total);
  }
}

GAGGLE_SHARED void fill(float* x, int64_t n, float value) {
  for (int64_t i = 0; i < n; ++i) x[i] = value;
}

// Σ a ∘ b of two rows of d values.
template <class X>
GAGGLE_SHARED float dot(const X* a, const X* b, int64_t d) {
  simd::Floats x, y, sum{};
  for (int64_t c = 0; c < d; c += simd::lanes) {
    simd::load(a + c, d - c, x);
    simd::load(b + c, d - c, y);
    sum += x * y;
  }
  return simd::sum(sum);
}

template <class Kind, class X>
GAGGLE_SHARED void read_both(const Rows<X>& rows, int64_t first, int64_t n, int64_t d, const Block<Kind>& out) {
  read_along(rows, first, n, d, out.along);
  if (Kind::values > 1) read_across(rows, first, n, d, out.across);
}
// scores [n, 64] ← the products of n rows with all lanes.
template <class Kind>
GAGGLE_SHARED void rows_by_lanes(const Block<Kind>& rows, int64_t n, int64_t d, const typename Kind::Cell* lanes_of,
                                 float* scores) {
  multiply<Kind>(rows.along, cells<Kind>(d), 1, n, cells<Kind>(d), lanes_of, scores, false);
}
// sums [d, 64] += the n rows, each times its scores [n, 64], which are lost.
template <class Kind>
GAGGLE_SHARED void add_rows(const Block<Kind>& rows, int64_t n, int64_t d, float* scores, float* sums) {
  multiply<Kind>(rows.across, 1, d, d, cells<Kind>(n), to_cells<Kind>(n, scores), sums, true);
}

// n rows of scores become probabilities p = 2^(score - lse), and their gradients p (grad - delta); lse and delta, in
// s.top and s.total, are those of a tile's lanes, or of its rows where keys are lanes.
template <bool keys_are_lanes, class Kind>
GAGGLE_SHARED void score_gradients(int64_t n, const Space<Kind>& s) {
  Vector p, g, lse, delta;
  for (int64_t j = 0; j < n; ++j)
    for (int64_t c = 0; c < width; c += lanes) {
      if constexpr (keys_are_lanes) {
        lse = Vector{} + s.top[j];
        delta = Vector{} + s.total[j];
      } else {
        load(s.top + c, lse);
        load(s.total + c, delta);
      }
      load(s.scores + j * width + c, p);
      exp2(p - lse, p);
      load(s.grads + j * width + c, g);
      g = p * (g - delta);
      store(s.scores + j * width + c, p);
      store(s.grads + j * width + c, g);
    }
}

}  // namespace gaggle::tiles
