// Every kernel on the GPU, fp32 and bf16, against the plain fp64 formulas on the CPU (which tests/kernel holds
// against finite differences); and twice the same bits.
#include "gpu.h"
#include "kernel/attention.h"
#include "kernel/cross_entropy.h"
#include "kernel/dropout.h"
#include "kernel/flash_attention.h"
#include "kernel/gated.h"
#include "kernel/norm.h"
#include "kernel/rotary.h"
#include "kernel/routing.h"
#include "kernel/segmented_lowrank.h"

namespace gaggle {
namespace {

class Kernels : public Gpu, public testing::WithParamInterface<std::tuple<at::ScalarType, int64_t>> {
 protected:
  at::ScalarType type = std::get<0>(GetParam());
  int64_t d = std::get<1>(GetParam());
  double limit = type == at::kFloat ? 5e-6 : 8e-3;
  at::Tensor on_gpu(const at::Tensor& x) const { return x.to(gpu, type); }
  at::Tensor there32(const at::Tensor& x) const { return x.to(gpu, at::kFloat); }
};

TEST_P(Kernels, Norm) {
  const at::Tensor x = values({5, d}), delta = values({5, d}), w = values({d}), dy = values({5, d});
  const at::Tensor xs = there32(x), ws = there32(w);
  at::Tensor sum = at::empty_like(x), sums = at::empty_like(xs);
  const at::Tensor y = add_rms_norm(x, delta, sum, w, 1e-5, at::kDouble);
  EXPECT_LT(apart(add_rms_norm(xs, on_gpu(delta), sums, ws, 1e-5, type), y), limit);
  EXPECT_LT(apart(sums, sum), 2e-6);
  EXPECT_TRUE(at::equal(rms_norm(sums, ws, 1e-5, type), rms_norm(sums, ws, 1e-5, type)));
  EXPECT_LT(apart(rms_norm(on_gpu(x), ws, 1e-5, type), rms_norm(x, w, 1e-5, at::kDouble)), limit);
  at::Tensor dx = values({5, d}), dxs = there32(dx);
  rms_norm_backward(x, dy, w, 1e-5, dx);
  const at::Tensor copy = rms_norm_backward(xs, on_gpu(dy), ws, 1e-5, dxs);
  EXPECT_LT(apart(dxs, dx), 5e-6);
  EXPECT_LT(apart(copy, dx), limit);
  at::Tensor g = dy.clone(), gs = on_gpu(dy);
  rms_norm_backward_(x, g, w, 1e-5);
  rms_norm_backward_(on_gpu(x), gs, ws, 1e-5);
  EXPECT_LT(apart(gs, g), limit);
}

TEST_P(Kernels, Activations) {
  for (const Activation activation : {Activation::silu, Activation::gelu_tanh, Activation::relu}) {
    at::Tensor gate = values({3, d}) * 3, up = values({3, d});
    const at::Tensor dy = values({3, d});
    at::Tensor gates = on_gpu(gate), ups = on_gpu(up);
    gate = gates.to(at::kCPU, at::kDouble);
    at::Tensor alone = gate.clone(), alones = gates.clone();
    EXPECT_LT(apart(gated(activation, gates, ups), gated(activation, gate, up)), limit);
    EXPECT_LT(apart(activated(activation, gates), activated(activation, gate)), limit);
    gated_backward_(activation, gates, ups, on_gpu(dy));
    gated_backward_(activation, gate, up, dy);
    EXPECT_LT(apart(gates, gate), limit);
    EXPECT_LT(apart(ups, up), limit);
    activated_backward_(activation, alones, on_gpu(dy));
    activated_backward_(activation, alone, dy);
    EXPECT_LT(apart(alones, alone), limit);
  }
}

// The noise is the keys': the same values are dropped, and what is kept has the same bits.
TEST_P(Kernels, Dropout) {
  const std::vector<uint64_t> keys = {7, 1, 7, 12345678901234567};
  const at::Tensor x = values({4, d});
  at::Tensor here = x.to(type), ours = on_gpu(x);
  dropout_(here, keys, 0.3);
  dropout_(ours, keys, 0.3);
  EXPECT_TRUE(at::equal(ours.cpu(), here));
}

TEST_P(Kernels, RotaryTurnsThereAndBack) {
  const at::Tensor x = values({4, 3 * 2 * d});
  const at::Tensor positions = at::tensor({0, 7, 3, 90}, at::kInt);
  const std::vector<double> frequencies(static_cast<size_t>(d), 0.3);
  at::Tensor exact = x.clone(), ours = on_gpu(x);
  rotary_(exact, positions, rotary_table({{frequencies, 0, 91}}, at::kDouble, at::kCPU), false);
  const RotaryTable table = rotary_table({{frequencies, 0, 91}}, type, gpu);
  rotary_(ours, positions.to(gpu), table, false);
  EXPECT_LT(apart(ours, exact), limit);
  rotary_(ours, positions.to(gpu), table, true);
  EXPECT_LT(apart(ours, x), 2 * limit);
}

TEST_P(Kernels, CrossEntropy) {
  const int64_t v = 3 * d + 2;
  const std::vector<int64_t> starts = {0, 1, 4};  // the second row has three targets, two of them equal
  const std::vector<int32_t> ids = {0, 1, static_cast<int32_t>(v - 1), 1};
  const std::vector<float> weights = {0.5f, 1.0f, 2.0f, 0.25f};
  for (const double smoothing : {0.0, 0.1}) {
    at::Tensor nll = at::zeros({4}, at::TensorOptions(gpu)), exact_nll = at::zeros({4});
    at::Tensor ours = on_gpu(values({2, v}) * 4), exact = ours.to(at::kCPU, at::kDouble);
    cross_entropy_(ours, row_targets(starts, ids, weights, gpu), 0, nll, smoothing);
    cross_entropy_(exact, row_targets(starts, ids, weights, at::kCPU), 0, exact_nll, smoothing);
    EXPECT_LT((nll.cpu() - exact_nll).abs().max().item<float>(), 5e-5);
    EXPECT_LT(apart(ours, exact), limit);
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, Kernels,
                         testing::Combine(testing::Values(at::kFloat, at::kBFloat16),
                                          testing::Values(3, 16, 23, 576, 1500)));

class Types : public Gpu, public testing::WithParamInterface<at::ScalarType> {
 protected:
  at::ScalarType type = GetParam();
  double limit = type == at::kFloat ? 2e-5 : 3e-2;
  at::Tensor on_gpu(const at::Tensor& x) const { return x.defined() ? x.to(gpu, type) : x; }
  void expect_close(const AttentionGrad& ours, const AttentionGrad& exact) const {
    EXPECT_LT(apart(ours.q, exact.q), limit);
    EXPECT_LT(apart(ours.k, exact.k), limit);
    EXPECT_LT(apart(ours.v, exact.v), limit);
  }
};

TEST_P(Types, AttentionAndItsGradient) {
  for (const int64_t d : {6, 16}) {  // in bf16 flash attention takes the second
    const HeadShape shape{4, 2, d, 0.4};
    const Microbatch batch = ragged({3, 40, 1, 2100, 9});  // one row is longer than a chunk
    const AttentionPlan here = plan_attention(batch, 0, 5, shape, at::kCPU);
    const AttentionPlan plan = plan_attention(batch, 0, 5, shape, at::TensorOptions(gpu).dtype(type));
    const int64_t t = batch.decoder.count();
    const at::Tensor q = values({t, 4 * d}), k = values({t, 2 * d}), v = values({t, 2 * d}), dy = values({t, 4 * d});
    const Attended expected = attention(q, k, v, here, shape);
    const Attended forward = attention(on_gpu(q), on_gpu(k), on_gpu(v), plan, shape);
    EXPECT_EQ(plan.flash.has_value(), d == 16 && type == at::kBFloat16);
    EXPECT_LT(apart(forward.y, expected.y), limit);
    const AttentionGrad exact = attention_backward(q, k, v, expected, dy, here, shape);
    expect_close(attention_backward(on_gpu(q), on_gpu(k), on_gpu(v), forward, on_gpu(dy), plan, shape), exact);
  }
}

// Two texts, not side by side, read one source: flash attention's gradient of it is the sum of both. The reference gives
// the second of them a copy of its own.
TEST_P(Types, FlashAttentionOfASourceReadTwice) {
  const HeadShape shape{4, 4, 16, 0.3};
  const at::TensorOptions there = at::TensorOptions(gpu).dtype(type);
  if (!takes_flash(shape, there)) GTEST_SKIP() << "flash attention is of bf16";
  Microbatch batch = ragged({2, 5, 3, 4});
  batch.sources = {0, 1, 2, 1};
  const AttentionPlan plan = plan_cross_attention(batch, std::vector<int64_t>{0, 7, 10, 21}, shape, there);
  batch.sources = {0, 1, 2, 3};
  const AttentionPlan here = plan_cross_attention(batch, std::vector<int64_t>{0, 7, 10, 21, 24}, shape, at::kCPU);
  const auto copied = [](const at::Tensor& x) { return at::cat({x, x.slice(0, 7, 10)}); };
  const at::Tensor q = values({14, 64}), k = values({21, 64}), v = values({21, 64}), dy = values({14, 64});
  const Attended forward = attention(on_gpu(q), on_gpu(k), on_gpu(v), plan, shape);
  const Attended expected = attention(q, copied(k), copied(v), here, shape);
  EXPECT_LT(apart(forward.y, expected.y), limit);
  AttentionGrad exact = attention_backward(q, copied(k), copied(v), expected, dy, here, shape);
  for (at::Tensor* grad : {&exact.k, &exact.v}) {
    grad->slice(0, 7, 10).add_(grad->slice(0, 21, 24));
    *grad = grad->slice(0, 0, 21);
  }
  expect_close(attention_backward(on_gpu(q), on_gpu(k), on_gpu(v), forward, on_gpu(dy), plan, shape), exact);
}

TEST_P(Types, AttentionBehindACache) {
  const HeadShape shape{4, 2, 6, 0.4};
  Microbatch batch = ragged({2, 5});
  batch.past = {{0, 1, 2, 3}, {4, 5, 6}};
  const at::Tensor q = values({7, 24}), k = values({15, 12}), v = values({15, 12});
  const at::Tensor exact = attention(q, k, v, plan_attention(batch, 7, 0, shape, at::kCPU), shape).y;
  const AttentionPlan plan = plan_attention(batch, 7, 0, shape, gpu);
  EXPECT_LT(apart(attention(on_gpu(q), on_gpu(k), on_gpu(v), plan, shape).y, exact), limit);
}

TEST_P(Types, SegmentedLowRank) {
  const std::vector<Segment> segments = {{1, 0, 5}, {0, 5, 5}, {0, 5, 6}, {2, 6, 9}, {1, 9, 13}};
  for (const std::optional<double> bias : gate_biases) {
    const at::Tensor x = values({13, 10}), dy = values({13, 6});
    at::Tensor y = values({13, 6}), dx = values({13, 10});
    at::Tensor ys = on_gpu(y), dxs = on_gpu(dx);
    std::vector<LowRank> members, members_on_gpu;
    std::vector<LowRankGrad> grads, grads_on_gpu;
    for (const int64_t r : {1, 64, 7}) {
      LowRank m{values({r, 10}), values({6, r}), 1.0 / static_cast<double>(r + 1), {}};
      LowRank n{on_gpu(m.a), on_gpu(m.b), m.scale, {}};
      if (bias) m.gate = values({10}) * 0.25, n.gate = m.gate.to(gpu, at::kFloat), m.gate_bias = n.gate_bias = *bias;
      const auto zeros = [](const LowRank& like, at::TensorOptions on) {
        LowRankGrad grad{at::zeros(like.a.sizes(), on), at::zeros(like.b.sizes(), on), {}};
        if (like.gate.defined()) grad.gate = at::zeros(like.gate.sizes(), on);
        return grad;
      };
      grads.push_back(zeros(m, at::kDouble));
      grads_on_gpu.push_back(zeros(m, at::TensorOptions(gpu).dtype(at::kFloat)));
      members.push_back(m);
      members_on_gpu.push_back(n);
    }
    segmented_lowrank_forward(x, y, segments, members);
    segmented_lowrank_forward(on_gpu(x), ys, segments, members_on_gpu);
    EXPECT_LT(apart(ys, y), limit);
    segmented_lowrank_backward(x, dy, dx, segments, members, grads);
    segmented_lowrank_backward(on_gpu(x), on_gpu(dy), dxs, segments, members_on_gpu, grads_on_gpu);
    EXPECT_LT(apart(dxs, dx), limit);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_LT(apart(grads_on_gpu[i].a, grads[i].a), limit);
      EXPECT_LT(apart(grads_on_gpu[i].b, grads[i].b), limit);
      if (bias) {
        EXPECT_LT(apart(grads_on_gpu[i].gate, grads[i].gate), limit);
      }
    }
  }
}

// Few columns (one product over the stack) and many (rows sorted by expert).
TEST_P(Types, Routing) {
  for (const int64_t rank : {4, 64}) {
    std::vector<LowRank> experts(12), experts_on_gpu(12);
    std::vector<int> candidates;
    std::vector<at::Tensor> directions;
    for (size_t z = 0; z < experts.size(); ++z) {
      if (z == 3) continue;  // absent
      experts[z] = {values({rank, 24}), values({20, rank}), 0.3 + 0.01 * static_cast<double>(z), {}};
      experts_on_gpu[z] = {on_gpu(experts[z].a), on_gpu(experts[z].b), experts[z].scale, {}};
      candidates.push_back(static_cast<int>(z));
      directions.push_back(z == 7 ? directions[1] : at::randn({24}));  // one tie
    }
    for (const Scoring scoring : {Scoring::phatgoose, Scoring::arrow_mttl, Scoring::arrow_phatgoose}) {
      const at::Tensor x = values({9, 24});
      at::Tensor y = values({9, 20}), ys = on_gpu(y);
      RoutedSite here = stack_experts(experts), site = stack_experts(experts_on_gpu);
      set_candidates(here, candidates, directions);
      set_candidates(site, candidates, directions);
      const TokenRouting expected = route(x, here, scoring, 2), routed = route(on_gpu(x), site, scoring, 2);
      EXPECT_TRUE(at::equal(routed.experts.cpu(), expected.experts));
      EXPECT_LT(apart(routed.weights, expected.weights), 1e-5);
      add_routed(x, y, here, expected);
      add_routed(on_gpu(x), ys, site, routed);
      EXPECT_LT(apart(ys, y), limit);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Gpu, Types, testing::Values(at::kFloat, at::kBFloat16));

}  // namespace
}  // namespace gaggle
