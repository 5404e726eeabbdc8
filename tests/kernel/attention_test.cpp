// Attention against its formula, one query, head and key at a time in fp64: ragged rows, a window, grouped
// heads, keys behind a cache.
#include "kernel/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "made.h"

namespace gaggle {
namespace {

// Each sequence's keys are the pool's rows `past[s]`, then the new ones, which begin at pool_begin.
at::Tensor by_loops(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Microbatch& batch,
                    int64_t pool_begin, int64_t window, const HeadShape& shape) {
  const int64_t d = shape.head_dim, group = shape.heads / shape.kv_heads;
  at::Tensor out = at::zeros_like(q);
  for (size_t s = 0; s + 1 < batch.decoder.starts.size(); ++s) {
    std::vector<int64_t> seen;
    if (!batch.past.empty()) seen = batch.past[s];
    for (int64_t row = batch.decoder.starts[s]; row < batch.decoder.starts[s + 1]; ++row) {
      seen.push_back(pool_begin + row);
      const size_t all = seen.size();
      const size_t first = window > 0 && all > static_cast<size_t>(window) ? all - static_cast<size_t>(window) : 0;
      for (int64_t h = 0; h < shape.heads; ++h) {
        const auto head = [&](const at::Tensor& x, int64_t r, int64_t n) { return x[r].narrow(0, n * d, d); };
        std::vector<double> weight;
        double sum = 0;
        for (size_t j = first; j < all; ++j) {
          const double score = head(q, row, h).dot(head(k, seen[j], h / group)).item<double>();
          weight.push_back(std::exp(score / std::sqrt(static_cast<double>(d))));
          sum += weight.back();
        }
        for (size_t j = first; j < all; ++j)
          head(out, row, h).add_(head(v, seen[j], h / group), weight[j - first] / sum);
      }
    }
  }
  return out;
}

void expect_formula(const Microbatch& batch, int64_t pool_begin, int64_t window) {
  at::manual_seed(3);
  const HeadShape shape{6, 2, 4, 0.5};
  const int64_t t = batch.decoder.count(), pool = pool_begin + t;
  const auto f64 = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor q = at::randn({t, 24}, f64), k = at::randn({pool, 8}, f64), v = at::randn({pool, 8}, f64);
  const at::Tensor expected = by_loops(q, k, v, batch, pool_begin, window, shape);
  const AttentionPlan plan = plan_attention(batch, pool_begin, window, shape, at::kCPU);
  for (const auto& [type, limit] :
       {std::pair{at::kDouble, 1e-12}, std::pair{at::kFloat, 1e-5}, std::pair{at::kBFloat16, 3e-2}}) {
    const at::Tensor ours = attention(q.to(type), k.to(type), v.to(type), plan, shape).y.to(at::kDouble);
    EXPECT_LT(((ours - expected).norm() / expected.norm()).item<double>(), limit) << type;
  }
}

TEST(Attention, EqualsItsFormula) {
  for (const int64_t window : {0, 1, 5}) expect_formula(ragged({3, 40, 1, 9, 8}), 0, window);
}

TEST(Attention, EqualsItsFormulaBehindACache) {
  Microbatch batch = ragged({2, 1, 5});
  batch.past = {{0, 1, 2, 3}, {}, {6, 4, 5}};
  for (const int64_t window : {0, 3}) expect_formula(batch, 7, window);
}

}  // namespace
}  // namespace gaggle
