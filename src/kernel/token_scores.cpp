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

// The k largest of n values, best first, equal ones in their order; k ≤ n.
GAGGLE_SHARED void largest(const float* values, int64_t n, int64_t k, int64_t* places, float* best) {
  int64_t taken = 0;
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t end = i + lanes < n ? i + lanes : n;
    if (taken == k && end - i == lanes) {
      const float worst = best[k - 1];
      int above = 0;
      for (int64_t j = 0; j < lanes; ++j) above |= values[i + j] > worst;
      if (!above) continue;
    }
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

// One token's scores, from its products with the rough directions: exact where it is open whether they are among the
// k best, and below all others where not. places and best hold k values each.
GAGGLE_CLONES void settle(const Directions& v, const float* row, const Standard& how, int64_t k, int64_t* places,
                          float* best, float* scores) {
  as_scores(v, how, scores);
  largest(scores, v.count, k, places, best);
  // The row's norm before its mean was taken away, by r; each of two scores may miss its share.
  const float shift = how.mean * how.r;
  const float norm = __builtin_sqrtf(squares_of(row, v.d, 0) + static_cast<float>(v.d) * shift * shift);
  const float limit = best[k - 1] - 2 * norm * v.rough_error;
  const float* near[tile_side];
  int64_t at[tile_side], found = 0;
  for (int64_t i = 0; i < v.count; ++i) {
    const bool open = !(scores[i] < limit);  // also where something is no number
    if (!open) scores[i] = -__builtin_inff();
    if (open) near[found] = v.rows + i * v.d, at[found++] = i;
    if (found < tile_side && (found == 0 || i + 1 < v.count)) continue;
    Floats tile;
    for (int64_t c = found; c < tile_side; ++c) near[c] = near[0];
    simd::dot_rows<1>(&row, near, v.d, tile);
    for (int64_t c = 0; c < found; ++c) scores[at[c]] = v.absolute && tile[c] < 0 ? -tile[c] : tile[c];
    found = 0;
  }
}

float divisor_of(Scoring scoring, int64_t d) {
  const double root = std::sqrt(static_cast<double>(d));
  return static_cast<float>(scoring == Scoring::phatgoose ? root : scoring == Scoring::arrow_mttl ? 1 : 10 * root);
}

// Memory for a block of tokens. Tensors, since theirs starts where a vector's loads need not cross lines of the cache.
struct Block {
  at::Tensor rows, scores, by_candidate;
  std::vector<Standard> how;

  Block(const Directions& v, int64_t candidates)
      : rows(at::empty({block_tokens, v.d}, at::kFloat)),
        scores(at::empty({block_tokens, v.count}, at::kFloat)),
        by_candidate(at::empty({candidates}, at::kFloat)),
        how(block_tokens) {}
};

// The scores of n tokens x [n, d], in block.scores.
template <class X>
void score_block(const X* x, int64_t n, const Directions& v, int64_t k, Block& block, int64_t* places, float* best) {
  float *rows = float_of(block.rows), *scores = float_of(block.scores);
  widen_rows(x, n, v.d, !v.absolute, rows, block.how.data());
  if constexpr (std::is_same_v<X, Bf16>) {
    if (v.rough && 8 * k <= v.count) {
      rough_dots(x, n, v.rough, v.count, v.d, scores);
      for (int64_t t = 0; t < n; ++t)
        settle(v, rows + t * v.d, block.how[static_cast<size_t>(t)], k, places, best, scores + t * v.count);
      return;
    }
  }
  score_rows(rows, n, v.rows, v.count, v.d, v.absolute, scores);
}

}  // namespace

RoughDirections rough_directions(const at::Tensor& directions, at::ScalarType type) {
  if (type != at::kBFloat16 || !directions.is_cpu() || !has_bf16_dot() || directions.size(0) < 32) return {};
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
  const int64_t tokens = x.size(0), d = x.size(1), candidates = site.candidate_ids.size(0);
  const int64_t* ids = site.candidate_ids.data_ptr<int64_t>();
  const int64_t* direction_of = site.direction_of.defined() ? site.direction_of.data_ptr<int64_t>() : nullptr;
  Directions v{
      float_of(site.directions), site.directions.size(0), d, scoring != Scoring::phatgoose, nullptr, nullptr, 0};
  if (const RoughDirections& rough = site.rough; rough.rows.defined()) {
    v.rough = static_cast<const Bf16*>(rough.rows.data_ptr());
    v.rough_sums = float_of(rough.sums);
    v.rough_error = static_cast<float>(rough.error);
  }
  if (k <= 0 || k > candidates) k = candidates;
  const float divisor = divisor_of(scoring, d);
  TokenRouting routed{at::empty({tokens, k}, at::kLong), at::empty({tokens, k}, at::kFloat)};
  int64_t* experts = routed.experts.data_ptr<int64_t>();
  float* weights = routed.weights.data_ptr<float>();
  with_elements(x, [&](const auto* rows) {
    at::parallel_for(0, (tokens + block_tokens - 1) / block_tokens, 1, [&](int64_t begin, int64_t end) {
      Block block(v, candidates);
      for (int64_t first = begin * block_tokens; first < std::min(end * block_tokens, tokens); first += block_tokens) {
        const int64_t n = std::min(block_tokens, tokens - first);
        score_block(rows + first * d, n, v, k, block, experts + first * k, weights + first * k);
        for (int64_t t = 0; t < n; ++t) {
          const float* scores = float_of(block.scores) + t * v.count;
          float* all = float_of(block.by_candidate);
          for (int64_t i = 0; direction_of && i < candidates; ++i) all[i] = scores[direction_of[i]];
          choose(direction_of ? all : scores, ids, candidates, divisor, k, experts + (first + t) * k,
                 weights + (first + t) * k);
        }
      }
    });
  });
  return routed;
}

}  // namespace gaggle
