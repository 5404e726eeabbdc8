// The vectorised fp32 and bf16 kernels against the plain fp64 formulas, for widths that leave a tail; and the
// fp64 formulas' gradients against finite differences.
#include <gtest/gtest.h>

#include "kernel/attention.h"
#include "kernel/cross_entropy.h"
#include "kernel/norm.h"
#include "kernel/packed_weight.h"
#include "kernel/rotary.h"
#include "made.h"

namespace gaggle {
namespace {

struct Kernels : testing::TestWithParam<std::tuple<at::ScalarType, int64_t>> {
  at::ScalarType type = std::get<0>(GetParam());
  int64_t d = std::get<1>(GetParam());
  double limit = type == at::kFloat ? 2e-6 : 6e-3;
  void SetUp() override { at::manual_seed(d); }
};

TEST_P(Kernels, Norm) {
  const at::Tensor x = values({5, d}), delta = values({5, d}), w = values({d}), dy = values({5, d});
  const at::Tensor xs = x.to(at::kFloat), ws = w.to(at::kFloat);
  at::Tensor sum = at::empty_like(x), sums = at::empty_like(xs);
  EXPECT_LT(
      apart(add_rms_norm(xs, delta.to(type), sums, ws, 1e-5, type), add_rms_norm(x, delta, sum, w, 1e-5, at::kDouble)),
      limit);
  EXPECT_LT(apart(sums, sum), 2e-6);
  EXPECT_TRUE(at::equal(rms_norm(sums, ws, 1e-5, type), add_rms_norm(xs, delta.to(type), sums, ws, 1e-5, type)));
  at::Tensor dx = values({5, d}), dxs = dx.to(at::kFloat);
  rms_norm_backward(x, dy, w, 1e-5, dx);
  const at::Tensor copy = rms_norm_backward(xs, dy.to(type), ws, 1e-5, dxs);
  EXPECT_LT(apart(dxs, dx), 2e-6);
  EXPECT_EQ(copy.scalar_type(), type);
  EXPECT_LT(apart(copy, dx), limit);
  at::Tensor g = dy.clone(), gs = dy.to(type);
  rms_norm_backward_(x, g, w, 1e-5);
  rms_norm_backward_(x.to(type), gs, ws, 1e-5);
  EXPECT_LT(apart(gs, g), limit);
}

TEST_P(Kernels, PackedWeight) {
  for (const int64_t rows : {1, 7, 130}) {
    const at::Tensor w = values({d, 48}), x = values({rows, 48}), bias = values({d}), y = values({rows, d});
    const PackedWeight packed(w.to(type)), transposed(w.t().contiguous().to(type).t());
    EXPECT_LT(apart(packed.multiply(x.to(type)), x.mm(w.t())), limit);
    EXPECT_LT(apart(packed.multiply(x.to(type), bias.to(type)), x.mm(w.t()) + bias), limit);
    EXPECT_LT(apart(packed.multiply_add(x.to(type), y.to(type)), x.mm(w.t()) + y), limit);
    EXPECT_LT(apart(transposed.multiply(x.to(type)), x.mm(w.t())), limit);
  }
}

TEST_P(Kernels, RotaryTurnsThereAndBack) {
  const at::Tensor x = values({4, 3 * 2 * d});
  const at::Tensor positions = at::tensor({0, 7, 3, 90}, at::kInt);
  const std::vector<double> frequencies(static_cast<size_t>(d), 0.3);
  at::Tensor exact = x.clone(), ours = x.to(type);
  rotary_(exact, positions, rotary_table({{frequencies, 0, 91}}, at::kDouble, at::kCPU), false);
  const RotaryTable table = rotary_table({{frequencies, 0, 91}}, type, at::kCPU);
  rotary_(ours, positions, table, false);
  EXPECT_LT(apart(ours, exact), limit);
  rotary_(ours, positions, table, true);
  EXPECT_LT(apart(ours, x), limit);
}

TEST_P(Kernels, CrossEntropy) {
  const int64_t v = 3 * d + 2;
  const std::vector<int64_t> starts = {0, 1, 4};  // the second row has three targets, two of them equal
  const std::vector<int32_t> ids = {0, 1, static_cast<int32_t>(v - 1), 1};
  const std::vector<float> weights = {0.5f, 1.0f, 2.0f, 0.25f};
  const RowTargets targets = row_targets(starts, ids, weights, at::kCPU);
  at::Tensor nll = at::zeros({4}), exact_nll = at::zeros({4});
  at::Tensor exact = (values({2, v}) * 4).to(type).to(at::kDouble), ours = exact.to(type);
  // The rows one after the other, as a head whose logits are too many goes through them.
  for (int64_t row = 0; row < 2; ++row) {
    at::Tensor one = ours.narrow(0, row, 1);
    cross_entropy_(one, targets, row, nll);
  }
  cross_entropy_(exact, targets, 0, exact_nll);
  EXPECT_LT((nll - exact_nll).abs().max().item<float>(), 2e-5);
  EXPECT_LT(apart(ours, exact), limit);
  EXPECT_LT(exact.sum().abs().item<double>(), 1e-6);
}

// The loss and its gradient written out in fp64, against the plain path and the vectorised types.
TEST_P(Kernels, CrossEntropyWithLabelSmoothing) {
  const int64_t v = 3 * d + 2;
  const double smoothing = 0.15;
  const std::vector<int64_t> starts = {0, 1, 4};
  const std::vector<int32_t> ids = {0, 1, static_cast<int32_t>(v - 1), 1};
  const std::vector<float> weights = {0.5f, 1.0f, 2.0f, 0.25f};
  const at::Tensor x = (values({2, v}) * 4).to(type).to(at::kDouble);
  at::Tensor gradient = at::zeros_like(x);
  std::vector<double> losses;
  for (size_t t = 0; t < 4; ++t) {
    const int64_t row = t == 0 ? 0 : 1;
    const at::Tensor p = x[row].exp() / x[row].exp().sum();
    at::Tensor target = at::full({v}, smoothing / static_cast<double>(v), at::kDouble);
    target[ids[t]] += 1 - smoothing;
    losses.push_back(-(target * p.log()).sum().item<double>());
    gradient[row] += (p - target) * static_cast<double>(weights[t]);
  }
  for (const auto& [kind, near, far] : {std::tuple{at::kDouble, 1e-6, 1e-12}, std::tuple{type, 2e-5, limit}}) {
    at::Tensor loss = at::zeros({4}), alone = at::zeros({4});
    at::Tensor ours = x.to(kind, false, true), same = ours.clone();
    cross_entropy_(same, row_targets(starts, ids, {}, at::kCPU), 0, alone, smoothing);
    EXPECT_TRUE(at::equal(same, x.to(kind)));
    cross_entropy_(ours, row_targets(starts, ids, weights, at::kCPU), 0, loss, smoothing);
    EXPECT_TRUE(at::equal(loss, alone));
    for (size_t t = 0; t < 4; ++t) EXPECT_NEAR(loss[static_cast<int64_t>(t)].item<double>(), losses[t], near);
    EXPECT_LT(apart(ours, gradient), far);
    EXPECT_LT(ours.sum(1).abs().max().item<double>(), far * 10);
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, Kernels,
                         testing::Combine(testing::Values(at::kFloat, at::kBFloat16), testing::Values(3, 16, 23, 576)));

TEST(Attention, GradientsMatchFiniteDifferencesAndTheOtherTypes) {
  at::manual_seed(1);
  const HeadShape shape{4, 2, 6, 0.4};
  const Microbatch batch = ragged({3, 40, 1, 9});
  const AttentionPlan plan = plan_attention(batch, 0, 5, shape, at::kCPU);
  EXPECT_GT(plan.chunks.size(), 1u);
  const int64_t t = batch.decoder.count();
  at::Tensor q = values({t, 24}), k = values({t, 12}), v = values({t, 12});
  const at::Tensor dy = values({t, 24});
  const AttentionGrad grad = attention_backward(q, k, v, attention(q, k, v, plan, shape), dy, plan, shape);
  for (auto [x, dx] : {std::pair(q, grad.q), std::pair(k, grad.k), std::pair(v, grad.v)}) {
    const at::Tensor direction = at::randn_like(x);
    const double h = 1e-5;
    x.add_(direction, h);
    const double above = (attention(q, k, v, plan, shape).y * dy).sum().item<double>();
    x.add_(direction, -2 * h);
    const double below = (attention(q, k, v, plan, shape).y * dy).sum().item<double>();
    x.add_(direction, h);
    const double expected = (dx * direction).sum().item<double>();
    EXPECT_NEAR((above - below) / (2 * h), expected, 1e-6 * (1 + std::abs(expected)));
  }
  for (at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const double limit = type == at::kFloat ? 1e-5 : 2e-2;
    const at::Tensor qs = q.to(type), ks = k.to(type), vs = v.to(type);
    EXPECT_LT(apart(attention(qs, ks, vs, plan, shape).y, attention(q, k, v, plan, shape).y), limit);
    const AttentionGrad ours =
        attention_backward(qs, ks, vs, attention(qs, ks, vs, plan, shape), dy.to(type), plan, shape);
    EXPECT_LT(apart(ours.q, grad.q), limit);
    EXPECT_LT(apart(ours.k, grad.k), limit);
    EXPECT_LT(apart(ours.v, grad.v), limit);
  }
}

}  // namespace
}  // namespace gaggle
