#include "kernel/softmax.h"

#include <ATen/Parallel.h>

#include <vector>

#include "base/error.h"
#include "kernel/dispatch.h"

namespace gaggle {
namespace {

using simd::Floats;
using simd::lanes;

// One row of n scores; scratch holds n floats. bias: what is added for each key, or null.
template <class X>
GAGGLE_SHARED void softmax_row(X* x, int64_t first, int64_t last, int64_t n, float scale, const float* bias,
                               float* scratch) {
  Floats v, b, best = Floats{} - 3.0e38f, total{};
  for (int64_t i = first; i < last; i += lanes) {
    const int64_t left = last - i;
    simd::load(x + i, left, v);
    v *= scale;
    if (bias) {
      simd::load(bias + i, left, b);
      v += b;
    }
    simd::store(scratch + i, left, v);
    simd::take_larger(v, left, best);
  }
  const float top = simd::largest(best);
  for (int64_t i = first; i < last; i += lanes) {
    const int64_t left = last - i;
    simd::load(scratch + i, left, v);
    simd::exp(v - top, v);
    for (int64_t j = left; j < lanes; ++j) v[j] = 0;
    total += v;
    simd::store(scratch + i, left, v);
  }
  const float r = last > first ? 1.0f / simd::sum(total) : 0.0f;
  const Floats zero{};
  for (int64_t i = 0; i < first; i += lanes) simd::store(x + i, first - i, zero);
  for (int64_t i = first; i < last; i += lanes) {
    simd::load(scratch + i, last - i, v);
    v *= r;
    simd::store(x + i, last - i, v);
  }
  for (int64_t i = last; i < n; i += lanes) simd::store(x + i, n - i, zero);
}

// What all rows of the scores share.
struct Shared {
  const int64_t *first, *last;
  int64_t heads, queries, keys;
  float scale;
  const float* bias = nullptr;         // null: none
  const int64_t* positions = nullptr;  // with bias
  int64_t reach = 0;
};

template <class X>
GAGGLE_CLONES void softmax_rows(X* x, const Shared& all, int64_t begin, int64_t end, float* scratch) {
  for (int64_t row = begin; row < end; ++row) {
    const int64_t query = row / (all.heads * all.queries) * all.queries + row % all.queries;
    const float* bias = nullptr;
    if (all.bias) {
      const int64_t head = row / all.queries % all.heads;
      bias = all.bias + head * (2 * all.reach + 1) + all.reach - all.positions[query];
    }
    softmax_row(x + row * all.keys, all.first[query], all.last[query], all.keys, all.scale, bias, scratch);
  }
}

template <class X>
GAGGLE_CLONES void backward_rows(const X* p, X* dp, int64_t begin, int64_t end, int64_t keys, float scale) {
  for (int64_t row = begin; row < end; ++row) {
    Floats total{}, a, b;
    for (int64_t i = 0; i < keys; i += lanes) {
      simd::load(p + row * keys + i, keys - i, a);
      simd::load(dp + row * keys + i, keys - i, b);
      total += a * b;
    }
    const float dot = simd::sum(total);
    for (int64_t i = 0; i < keys; i += lanes) {
      simd::load(p + row * keys + i, keys - i, a);
      simd::load(dp + row * keys + i, keys - i, b);
      b = a * (b - dot) * scale;
      simd::store(dp + row * keys + i, keys - i, b);
    }
  }
}

}  // namespace

void masked_softmax_(at::Tensor& scores, const at::Tensor& first, const at::Tensor& last, const at::Tensor& positions,
                     double scale, const PositionBias* bias) {
  const int64_t s = scores.size(0), heads = scores.size(1), queries = scores.size(2), keys = scores.size(3);
  GAGGLE_CHECK(first.numel() == s * queries && last.numel() == s * queries);
  if (bias)
    GAGGLE_CHECK(bias->by_distance.size(0) == heads && bias->by_distance.size(1) == 2 * bias->reach + 1 &&
                 positions.numel() == s * queries && bias->reach >= keys);
  if (on_cpu(scores)) {
    Shared all{.first = first.data_ptr<int64_t>(),
               .last = last.data_ptr<int64_t>(),
               .heads = heads,
               .queries = queries,
               .keys = keys,
               .scale = static_cast<float>(scale)};
    if (bias) {
      all.bias = float_of(bias->by_distance);
      all.positions = positions.data_ptr<int64_t>();
      all.reach = bias->reach;
    }
    at::parallel_for(0, s * heads * queries, grain(4 * keys), [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(static_cast<size_t>(keys));
      with_elements(scores, [&](auto* x) { softmax_rows(x, all, begin, end, scratch.data()); });
    });
    return;
  }
  const at::Tensor key = at::arange(keys, first.options());
  const at::Tensor hidden = (key < first.view({s, 1, queries, 1})).logical_or_(key >= last.view({s, 1, queries, 1}));
  at::Tensor scaled = widened(scores).mul(scale);
  if (bias) {
    const at::Tensor column = (key - positions.view({s, queries, 1}) + bias->reach).flatten();
    scaled.add_(bias->by_distance.index_select(1, column).view({heads, s, queries, keys}).transpose(0, 1));
  }
  const at::Tensor masked = scaled.masked_fill_(hidden, -std::numeric_limits<double>::infinity());
  scores.copy_(at::softmax(masked, -1).masked_fill(hidden, 0));
}

void softmax_backward_(const at::Tensor& p, at::Tensor& dp, double scale) {
  GAGGLE_CHECK(p.sizes() == dp.sizes() && p.scalar_type() == dp.scalar_type());
  const int64_t keys = p.size(-1);
  if (on_cpu(p) && on_cpu(dp)) {
    at::parallel_for(0, p.numel() / keys, grain(4 * keys), [&](int64_t begin, int64_t end) {
      with_elements(dp, [&](auto* to) {
        const auto* from = static_cast<decltype(to)>(p.data_ptr());
        backward_rows(from, to, begin, end, keys, static_cast<float>(scale));
      });
    });
    return;
  }
  const at::Tensor a = widened(p), b = widened(dp);
  dp.copy_(a * (b - (a * b).sum(-1, true)) * scale);
}

}  // namespace gaggle
