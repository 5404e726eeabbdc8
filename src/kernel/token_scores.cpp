#include "kernel/token_scores.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "kernel/dispatch.h"
#include "kernel/dot_tile.h"

namespace gaggle {
namespace {

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

// Mean and 1 / standard deviation over d.
template <class X>
GAGGLE_SHARED void moments(const X* x, int64_t d, float& mean, float& r) {
  Floats total{}, squares{}, v;
  by_lanes(
      d, [&](int64_t i, int64_t left) __attribute__((always_inline)) {
        simd::load(x + i, left, v);
        total += v;
      });
  mean = simd::sum(total) / static_cast<float>(d);
  by_lanes(
      d, [&](int64_t i, int64_t left) __attribute__((always_inline)) {
        simd::load(x + i, left, v);
        v -= mean;
        for (int64_t j = left; j < lanes; ++j) v[j] = 0;
        squares += v * v;
      });
  r = 1.0f / __builtin_sqrtf(simd::sum(squares) / static_cast<float>(d) + 1e-5f);
}

// rows [n, d] ← x in fp32, and standardised over d where that is asked for.
template <class X>
GAGGLE_CLONES void widen_rows(const X* x, int64_t n, int64_t d, bool standard, float* rows) {
  for (int64_t t = 0; t < n; ++t, x += d, rows += d) {
    float mean = 0, r = 1;
    if (standard) moments(x, d, mean, r);
    by_lanes(
        d, [&](int64_t i, int64_t left) __attribute__((always_inline)) {
          Floats v;
          simd::load(x + i, left, v);
          v = (v - mean) * r;
          simd::store(rows + i, left, v);
        });
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
      const int64_t taken = n - t < tile_side ? n - t : tile_side;
      simd::tile_rows(rows, t, n, d, xs);
      simd::dot_tile(taken, xs, as, d, tile);
      if (absolute) tile = tile < 0.0f ? -tile : tile;
      for (int64_t r = 0; r < taken; ++r)
        for (int64_t i = 0; i < tile_side && c + i < count; ++i)
          scores[(t + r) * count + c + i] = tile[tile_side * r + i];
    }
  }
}

struct Candidates {
  const int64_t* ids;
  const int64_t* direction_of;  // null: the i-th
  int64_t count;
};

// The k best of a token's candidates, best first, equal ones in their order, and a softmax over their scores, which
// are the dot products by `divisor`.
void choose(const float* dots, const Candidates& all, float divisor, int64_t k, int64_t* experts, float* weights) {
  int64_t taken = 0;
  float worst = 0;  // of k that were taken
  for (int64_t i = 0; i < all.count; ++i) {
    const float dot = dots[all.direction_of ? all.direction_of[i] : i];
    if (taken == k && !(dot > worst)) continue;
    int64_t place = taken < k ? taken++ : k - 1;
    for (; place > 0 && dot > weights[place - 1]; --place) {
      weights[place] = weights[place - 1];
      experts[place] = experts[place - 1];
    }
    weights[place] = dot;
    experts[place] = all.ids[i];
    worst = weights[k - 1];
  }
  const float top = weights[0] / divisor;
  float sum = 0;
  for (int64_t j = 0; j < k; ++j) sum += weights[j] = std::exp(weights[j] / divisor - top);
  for (int64_t j = 0; j < k; ++j) weights[j] /= sum;
}

float divisor_of(Scoring scoring, int64_t d) {
  const double root = std::sqrt(static_cast<double>(d));
  return static_cast<float>(scoring == Scoring::phatgoose ? root : scoring == Scoring::arrow_mttl ? 1 : 10 * root);
}

}  // namespace

TokenRouting route_rows(const at::Tensor& x, const RoutedSite& site, Scoring scoring, int64_t k) {
  const int64_t tokens = x.size(0), d = x.size(1), directions = site.directions.size(0);
  const Candidates candidates{site.candidate_ids.data_ptr<int64_t>(),
                              site.direction_of.defined() ? site.direction_of.data_ptr<int64_t>() : nullptr,
                              site.candidate_ids.size(0)};
  const float divisor = divisor_of(scoring, d);
  if (k <= 0 || k > candidates.count) k = candidates.count;
  TokenRouting routed{at::empty({tokens, k}, at::kLong), at::empty({tokens, k}, at::kFloat)};
  int64_t* experts = routed.experts.data_ptr<int64_t>();
  float* weights = routed.weights.data_ptr<float>();
  const float* v = float_of(site.directions);
  with_elements(x, [&](const auto* rows) {
    at::parallel_for(0, (tokens + block_tokens - 1) / block_tokens, 1, [&](int64_t begin, int64_t end) {
      // Tensors, since their memory starts where a vector's loads need not cross lines of the cache.
      const at::Tensor wide_rows = at::empty({block_tokens, d}, at::kFloat);
      const at::Tensor all_scores = at::empty({block_tokens, directions}, at::kFloat);
      float *wide = float_of(wide_rows), *scores = float_of(all_scores);
      for (int64_t first = begin * block_tokens; first < std::min(end * block_tokens, tokens); first += block_tokens) {
        const int64_t n = std::min(block_tokens, tokens - first);
        widen_rows(rows + first * d, n, d, scoring == Scoring::phatgoose, wide);
        score_rows(wide, n, v, directions, d, scoring != Scoring::phatgoose, scores);
        for (int64_t t = 0; t < n; ++t)
          choose(scores + t * directions, candidates, divisor, k, experts + (first + t) * k, weights + (first + t) * k);
      }
    });
  });
  return routed;
}

}  // namespace gaggle
