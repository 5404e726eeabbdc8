#include "kernel/token_scores.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "kernel/bf16_dot.h"
#include "kernel/dispatch.h"
#include "kernel/dot_tile.h"

namespace gaggle {
namespace {

using simd::Bf16;
using simd::Floats;
using simd::lanes;
using simd::tile_side;

constexpr int64_t block_tokens = 16;  // their rows stay in the cache while all directions pass

// run(at, left) for sixteen values after the other, `left` of them there.
template <class Run>
GAGGLE_SHARED void by_lanes(int64_t d, const Run& run) {
  int64_t i = 0;
  for (; i + lanes <= d; i += lanes) run(i, lanes);
  if (i < d) run(i, d - i);
}

// Σ x, or Σ (x - mean)².
template <class X>
GAGGLE_SHARED float sum_of(const X* x, int64_t d) {
  Floats total{}, v;
  by_lanes(
      d, [&](int64_t i, int64_t left) __attribute__((always_inline)) {
        simd::load(x + i, left, v);
        total += v;
      });
  return simd::sum(total);
}
template <class X>
GAGGLE_SHARED float squares_of(const X* x, int64_t d, float mean) {
  Floats total{}, v;
  by_lanes(
      d, [&](int64_t i, int64_t left) __attribute__((always_inline)) {
        simd::load(x + i, left, v);
        v -= mean;
        for (int64_t j = left; j < lanes; ++j) v[j] = 0;
        total += v * v;
      });
  return simd::sum(total);
}

// A row becomes (x - mean) · r.
struct Standard {
  float mean = 0, r = 1;
};

// rows [n, d] ← x in fp32, and standardised over d where that is asked for.
template <class X>
GAGGLE_CLONES void widen_rows(const X* x, int64_t n, int64_t d, bool standardised, float* rows, Standard* how) {
  for (int64_t t = 0; t < n; ++t, x += d, rows += d) {
    Standard s;
    if (standardised) {
      s.mean = sum_of(x, d) / static_cast<float>(d);
      s.r = 1.0f / __builtin_sqrtf(squares_of(x, d, s.mean) / static_cast<float>(d) + 1e-5f);
    }
    by_lanes(
        d, [&](int64_t i, int64_t left) __attribute__((always_inline)) {
          Floats v;
          simd::load(x + i, left, v);
          v = (v - s.mean) * s.r;
          simd::store(rows + i, left, v);
        });
    how[t] = s;
  }
}

// scores [n, count] ← rows [n, d] · directions [count, d]ᵀ, or the sizes of these products.
GAGGLE_CLONES void score_rows(const float* rows, int64_t n, const float* directions, int64_t count, int64_t d,
                              bool absolute, float* scores) {
  const float *as[tile_side], *xs[tile_side];
  Floats tile;
  for (int64_t c = 0; c < count; c += tile_side) {
    simd::tile_rows(directions, c, count, d, as);
    for (int64_t t = 0; t < n; t += tile_side) {
      simd::tile_rows(rows, t, n, d, xs);
      simd::dot_tile(n - t < tile_side ? n - t : tile_side, xs, as, d, tile);
      if (absolute) tile = tile < 0.0f ? -tile : tile;
      simd::put_tile(tile, scores + t * count + c, count, n - t, count - c);
    }
  }
}

template <class Test>
GAGGLE_SHARED bool any_of_lanes(const float* values, const Test& test) {
  int found = 0;
  for (int64_t j = 0; j < lanes; ++j) found |= test(values[j]);
  return found != 0;
}

// The k largest of n values, best first, equal ones in their order; k ≤ n.
GAGGLE_SHARED void largest(const float* values, int64_t n, int64_t k, int64_t* places, float* best) {
  int64_t taken = 0;
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t end = i + lanes < n ? i + lanes : n;
    const float worst = taken == k ? best[k - 1] : 0;
    const auto better = [&](float v) __attribute__((always_inline)) { return v > worst; };
    if (taken == k && end - i == lanes && !any_of_lanes(values + i, better)) continue;
    for (int64_t j = i; j < end; ++j) {
      const float value = values[j];
      if (taken == k && !(value > best[k - 1])) continue;
      int64_t place = taken < k ? taken++ : k - 1;
      for (; place > 0 && value > best[place - 1]; --place) {
        best[place] = best[place - 1];
        places[place] = places[place - 1];
      }
      best[place] = value;
      places[place] = j;
    }
  }
}

// The k best of C scores, which are the values by `divisor`, and a softmax over them.
GAGGLE_CLONES void choose(const float* values, const int64_t* ids, int64_t count, float divisor, int64_t k,
                          int64_t* experts, float* weights) {
  largest(values, count, k, experts, weights);
  for (int64_t j = 0; j < k; ++j) experts[j] = ids[experts[j]];
  const float top = weights[0] / divisor;
  float sum = 0;
  for (int64_t j = 0; j < k; ++j) sum += weights[j] = __builtin_expf(weights[j] / divisor - top);
  for (int64_t j = 0; j < k; ++j) weights[j] /= sum;
}

// A site's directions as our loops read them.
struct Directions {
  const float* rows;
  int64_t count, d;
  bool absolute;  // the score is the size of the product
  const Bf16* rough;
  const float* rough_sums;
  float rough_error;
};

// The products of a token's bf16 with the rough directions become what they stand for, beside their true values.
GAGGLE_SHARED void as_scores(const Directions& v, const Standard& how, float* scores) {
  by_lanes(
      v.count, [&](int64_t i, int64_t left) __attribute__((always_inline)) {
        Floats s, sums;
        simd::load(scores + i, left, s);
        simd::load(v.rough_sums + i, left, sums);
        s = (s - how.mean * sums) * how.r;
        if (v.absolute) s = s < 0.0f ? -s : s;
        simd::store(scores + i, left, s);
      });
}

// From a token's products with the rough directions: which of them may be among the k best, in their order, and their
// exact scores, which take the place of the first products. places and best hold k values each.
GAGGLE_CLONES int64_t settle(const Directions& v, const float* row, const Standard& how, int64_t k, int64_t* places,
                             float* best, float* scores, int64_t* near) {
  as_scores(v, how, scores);
  largest(scores, v.count, k, places, best);
  // The row's norm before its mean was taken away, by r; each of two scores may miss its share.
  const float shift = how.mean * how.r;
  const float norm = __builtin_sqrtf(squares_of(row, v.d, 0) + static_cast<float>(v.d) * shift * shift);
  const float limit = best[k - 1] - 2 * norm * v.rough_error;
  const auto open = [&](float s) __attribute__((always_inline)) { return !(s < limit); };  // no number: all are open
  int64_t found = 0;
  for (int64_t i = 0; i < v.count; i += lanes) {
    const int64_t end = i + lanes < v.count ? i + lanes : v.count;
    if (end - i == lanes && !any_of_lanes(scores + i, open)) continue;
    for (int64_t j = i; j < end; ++j)
      if (open(scores[j])) near[found++] = j;
  }
  const float* rows[tile_side];
  for (int64_t i = 0; i < found; i += tile_side) {
    Floats tile;
    for (int64_t c = 0; c < tile_side; ++c) rows[c] = v.rows + near[i + c < found ? i + c : i] * v.d;
    simd::dot_rows<1>(&row, rows, v.d, tile);
    if (v.absolute) tile = tile < 0.0f ? -tile : tile;
    for (int64_t c = 0; c < tile_side && i + c < found; ++c) scores[i + c] = tile[c];
  }
  return found;
}

float divisor_of(Scoring scoring, int64_t d) {
  const double root = std::sqrt(static_cast<double>(d));
  return static_cast<float>(scoring == Scoring::phatgoose ? root : scoring == Scoring::arrow_mttl ? 1 : 10 * root);
}

// The candidates of a site: which expert each is, and its direction (null: the i-th has the i-th).
struct Candidates {
  const int64_t *ids, *direction_of;
  int64_t count;
};

// Memory for a block of tokens. Tensors, since theirs starts where a vector's loads need not cross lines of the cache.
struct Block {
  at::Tensor rows, scores, by_candidate;
  std::vector<int64_t> near;
  Standard how[block_tokens];

  Block(const Directions& v, int64_t candidates)
      : rows(at::empty({block_tokens, v.d}, at::kFloat)),
        scores(at::empty({block_tokens, v.count}, at::kFloat)),
        by_candidate(at::empty({candidates}, at::kFloat)),
        near(static_cast<size_t>(v.count)) {}
};

// Experts and weights [n, k] of the tokens x [n, d].
template <class X>
void route_block(const X* x, int64_t n, const Directions& v, const Candidates& all, float divisor, int64_t k,
                 Block& block, int64_t* experts, float* weights) {
  float *rows = float_of(block.rows), *scores = float_of(block.scores);
  widen_rows(x, n, v.d, !v.absolute, rows, block.how);
  if constexpr (std::is_same_v<X, Bf16>) {
    if (v.rough && 8 * k <= v.count) {
      rough_dots(x, n, v.rough, v.count, v.d, scores);
      for (int64_t t = 0; t < n; ++t, scores += v.count, rows += v.d, experts += k, weights += k) {
        int64_t* near = block.near.data();
        const int64_t found = settle(v, rows, block.how[t], k, experts, weights, scores, near);
        for (int64_t i = 0; i < found; ++i) near[i] = all.ids[near[i]];
        choose(scores, near, found, divisor, k, experts, weights);
      }
      return;
    }
  }
  score_rows(rows, n, v.rows, v.count, v.d, v.absolute, scores);
  for (int64_t t = 0; t < n; ++t, scores += v.count, experts += k, weights += k) {
    float* spread = float_of(block.by_candidate);
    for (int64_t i = 0; all.direction_of && i < all.count; ++i) spread[i] = scores[all.direction_of[i]];
    choose(all.direction_of ? spread : scores, all.ids, all.count, divisor, k, experts, weights);
  }
}

}  // namespace

RoughDirections rough_directions(const at::Tensor& directions, at::ScalarType type) {
  if (type != at::kBFloat16 || !directions.is_cpu() || !has_bf16_dot() || directions.size(0) < 96) return {};
  RoughDirections rough;
  rough.rows = directions.to(at::kBFloat16);
  const at::Tensor wide = rough.rows.to(at::kDouble), exact = directions.to(at::kDouble);
  rough.sums = wide.sum(1).to(at::kFloat);
  // What rounding v takes away, and what both sums over d may lose in fp32, each by its bound.
  const double sums = std::ldexp(static_cast<double>(directions.size(1)) / 8 + 16, -22);
  rough.error = 1.001 * ((exact - wide).norm(2, 1) + exact.norm(2, 1) * sums).max().item<double>();
  return rough;
}

TokenRouting route_rows(const at::Tensor& x, const RoutedSite& site, Scoring scoring, int64_t k) {
  const int64_t tokens = x.size(0), d = x.size(1);
  const Candidates all{site.candidate_ids.data_ptr<int64_t>(),
                       site.direction_of.defined() ? site.direction_of.data_ptr<int64_t>() : nullptr,
                       site.candidate_ids.size(0)};
  Directions v{
      float_of(site.directions), site.directions.size(0), d, scoring != Scoring::phatgoose, nullptr, nullptr, 0};
  if (const RoughDirections& rough = site.rough; rough.rows.defined() && !all.direction_of) {
    v.rough = static_cast<const Bf16*>(rough.rows.data_ptr());
    v.rough_sums = float_of(rough.sums);
    v.rough_error = static_cast<float>(rough.error);
  }
  if (k <= 0 || k > all.count) k = all.count;
  const float divisor = divisor_of(scoring, d);
  TokenRouting routed{at::empty({tokens, k}, at::kLong), at::empty({tokens, k}, at::kFloat)};
  int64_t* experts = routed.experts.data_ptr<int64_t>();
  float* weights = routed.weights.data_ptr<float>();
  with_elements(x, [&](const auto* rows) {
    at::parallel_for(0, (tokens + block_tokens - 1) / block_tokens, 1, [&](int64_t begin, int64_t end) {
      Block block(v, all.count);
      for (int64_t t = begin * block_tokens; t < std::min(end * block_tokens, tokens); t += block_tokens)
        route_block(rows + t * d, std::min(block_tokens, tokens - t), v, all, divisor, k, block, experts + t * k,
                    weights + t * k);
    });
  });
  return routed;
}

}  // namespace gaggle
