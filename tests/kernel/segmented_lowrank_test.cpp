// The one operation against autograd of the naive formula in fp64, and against itself in fp32 and bf16.
#include "kernel/segmented_lowrank.h"

#include <gtest/gtest.h>

#include "made.h"

namespace gaggle {
namespace {

struct Case {
  at::Tensor x, y, dy;
  std::vector<Segment> segments;
  std::vector<LowRank> members;
};

// Segments of 5, 0, 1, 3 and 4 rows; ranks 1, 64 and 7; one member absent, one used twice. With a bias they have gates,
// each of its own.
Case make_case(std::optional<double> bias) {
  at::manual_seed(7);
  const auto options = at::TensorOptions().dtype(at::kDouble);
  Case c;
  const int64_t rows = 13, d_in = 10, d_out = 6;
  c.x = at::randn({rows, d_in}, options);
  c.y = at::randn({rows, d_out}, options);
  c.dy = at::randn({rows, d_out}, options);
  c.segments = {{1, 0, 5}, {0, 5, 5}, {0, 5, 6}, {2, 6, 9}, {3, 9, 10}, {1, 10, 13}};
  for (const int64_t r : {1, 64, 7}) {
    LowRank member{at::randn({r, d_in}, options), at::randn({d_out, r}, options), 1.0 / static_cast<double>(r + 1), {}};
    if (bias) {
      member.gate = at::randn({d_in}, options) * 0.3;
      member.gate_bias = *bias * static_cast<double>(c.members.size() + 1);
    }
    c.members.push_back(member);
  }
  c.members.push_back({});
  return c;
}

at::Tensor naive(const Case& c, const at::Tensor& x, const at::Tensor& y) {
  std::vector<at::Tensor> parts;
  for (const Segment& s : c.segments) {
    const LowRank& m = c.members[static_cast<size_t>(s.member)];
    const at::Tensor xs = x.slice(0, s.begin, s.end);
    at::Tensor part = y.slice(0, s.begin, s.end);
    if (m.a.defined()) {
      at::Tensor added = at::matmul(at::matmul(xs, m.a.t()), m.b.t()) * m.scale;
      if (m.gate.defined()) added = added * at::sigmoid(at::matmul(xs, m.gate) + m.gate_bias).unsqueeze(1);
      part = part + added;
    }
    parts.push_back(part);
  }
  return at::cat(parts);
}

std::vector<LowRankGrad> zero_grads(const Case& c, bool a, bool b, bool gate) {
  std::vector<LowRankGrad> grads;
  for (const LowRank& m : c.members) {
    LowRankGrad grad;
    if (m.a.defined() && a) grad.a = at::zeros_like(m.a);
    if (m.a.defined() && b) grad.b = at::zeros_like(m.b);
    if (m.gate.defined() && gate) grad.gate = at::zeros_like(m.gate);
    grads.push_back(grad);
  }
  return grads;
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / (b.norm() + 1e-30)).item<double>();
}

class SegmentedLowrank : public testing::TestWithParam<std::optional<double>> {};

TEST_P(SegmentedLowrank, EqualsAutogradOfTheNaiveFormula) {
  Case c = make_case(GetParam());
  at::Tensor x = c.x.clone().set_requires_grad(true);
  for (LowRank& m : c.members)
    for (at::Tensor* t : {&m.a, &m.b, &m.gate})
      if (t->defined()) t->set_requires_grad(true);
  const at::Tensor expected = naive(c, x, c.y);
  expected.backward(c.dy);

  Case plain = c;
  for (LowRank& m : plain.members)
    for (at::Tensor* t : {&m.a, &m.b, &m.gate})
      if (t->defined()) *t = t->detach();
  at::Tensor y = c.y.clone();
  segmented_lowrank_forward(c.x, y, c.segments, plain.members);
  EXPECT_LT(distance(y, expected.detach()), 1e-14);

  at::Tensor dx = at::ones_like(c.x);  // what lies there stays: gradients are added
  const auto grads = zero_grads(plain, true, true, true);
  segmented_lowrank_backward(c.x, c.dy, dx, c.segments, plain.members, grads);
  EXPECT_LT(distance(dx - 1, x.grad()), 1e-13);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_LT(distance(grads[i].a, c.members[i].a.grad()), 1e-13) << i;
    EXPECT_LT(distance(grads[i].b, c.members[i].b.grad()), 1e-13) << i;
    if (GetParam()) {
      EXPECT_LT(distance(grads[i].gate, c.members[i].gate.grad()), 1e-13) << i;
    }
  }
}

TEST_P(SegmentedLowrank, GradientsEqualFiniteDifferences) {
  Case c = make_case(GetParam());
  const auto loss = [&] {
    at::Tensor y = c.y.clone();
    segmented_lowrank_forward(c.x, y, c.segments, c.members);
    return (y * c.dy).sum().item<double>();
  };
  at::Tensor dx = at::zeros_like(c.x);
  const auto grads = zero_grads(c, true, true, true);
  segmented_lowrank_backward(c.x, c.dy, dx, c.segments, c.members, grads);
  const auto check = [&](at::Tensor& tensor, const at::Tensor& gradient) {
    double* value = tensor.data_ptr<double>();
    const at::Tensor flat = gradient.contiguous().view(-1);
    for (int64_t i = 0; i < tensor.numel(); i += std::max<int64_t>(1, tensor.numel() / 17)) {
      const double kept = value[i], h = 1e-6;
      value[i] = kept + h;
      const double up = loss();
      value[i] = kept - h;
      const double down = loss();
      value[i] = kept;
      EXPECT_NEAR((up - down) / (2 * h), flat[i].item<double>(), 1e-6);
    }
  };
  check(c.x, dx);
  for (size_t i = 0; i < 3; ++i) {
    check(c.members[i].a, grads[i].a);
    check(c.members[i].b, grads[i].b);
    if (GetParam()) check(c.members[i].gate, grads[i].gate);
  }
}

TEST_P(SegmentedLowrank, UnwantedGradientsAreSkippedAndTheRestUnchanged) {
  const Case c = make_case(GetParam());
  at::Tensor dx_all = at::zeros_like(c.x), dx_some = at::zeros_like(c.x);
  const auto all = zero_grads(c, true, true, true);
  const auto some = zero_grads(c, false, false, true);
  segmented_lowrank_backward(c.x, c.dy, dx_all, c.segments, c.members, all);
  segmented_lowrank_backward(c.x, c.dy, dx_some, c.segments, c.members, some);
  EXPECT_TRUE(at::equal(dx_all, dx_some));
  if (!GetParam()) return;
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(at::equal(all[i].gate, some[i].gate));
}

// Gradients of mixed skills lie transposed in their flat tensor.
TEST_P(SegmentedLowrank, TransposedGradientsAndNoDxAreTheSame) {
  const Case c = make_case(GetParam());
  at::Tensor dx = at::zeros_like(c.x);
  const auto straight = zero_grads(c, true, true, true);
  auto transposed = zero_grads(c, true, true, true);
  for (LowRankGrad& grad : transposed)
    for (at::Tensor* t : {&grad.a, &grad.b})
      if (t->defined()) *t = at::zeros({t->size(1), t->size(0)}, t->options()).t();
  segmented_lowrank_backward(c.x, c.dy, dx, c.segments, c.members, straight);
  segmented_lowrank_backward(c.x, c.dy, {}, c.segments, c.members, transposed);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_LT(distance(transposed[i].a, straight[i].a), 1e-14) << i;
    EXPECT_LT(distance(transposed[i].b, straight[i].b), 1e-14) << i;
    EXPECT_GT(straight[i].a.norm().item<double>(), 0) << i;
  }
}

TEST_P(SegmentedLowrank, NarrowTypesFollowFp64AndAddParameterGradientsInFp32) {
  const Case exact = make_case(GetParam());
  at::Tensor y64 = exact.y.clone(), dx64 = at::zeros_like(exact.x);
  const auto g64 = zero_grads(exact, true, true, true);
  segmented_lowrank_forward(exact.x, y64, exact.segments, exact.members);
  segmented_lowrank_backward(exact.x, exact.dy, dx64, exact.segments, exact.members, g64);
  for (const auto& [dtype, tolerance] : {std::pair{at::kFloat, 1e-5}, std::pair{at::kBFloat16, 2e-2}}) {
    Case c = exact;
    for (at::Tensor* t : {&c.x, &c.y, &c.dy}) *t = t->to(dtype);
    std::vector<LowRankGrad> grads;
    for (LowRank& m : c.members) {
      LowRankGrad grad;
      if (m.a.defined()) {
        m.a = m.a.to(dtype), m.b = m.b.to(dtype);
        grad.a = at::zeros_like(m.a, at::kFloat), grad.b = at::zeros_like(m.b, at::kFloat);
      }
      if (m.gate.defined()) m.gate = m.gate.to(at::kFloat), grad.gate = at::zeros_like(m.gate);
      grads.push_back(grad);
    }
    at::Tensor dx = at::zeros_like(c.x);
    segmented_lowrank_forward(c.x, c.y, c.segments, c.members);
    segmented_lowrank_backward(c.x, c.dy, dx, c.segments, c.members, grads);
    EXPECT_LT(distance(c.y.to(at::kDouble), y64), tolerance);
    EXPECT_LT(distance(dx.to(at::kDouble), dx64), tolerance);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_LT(distance(grads[i].a.to(at::kDouble), g64[i].a), tolerance);
      EXPECT_LT(distance(grads[i].b.to(at::kDouble), g64[i].b), tolerance);
      if (GetParam()) {
        EXPECT_LT(distance(grads[i].gate.to(at::kDouble), g64[i].gate), tolerance);
      }
    }
  }
}

TEST_P(SegmentedLowrank, WritesIntoTheTensorItWasGiven) {
  Case c = make_case(GetParam());
  const void* before = c.y.data_ptr();
  segmented_lowrank_forward(c.x, c.y, c.segments, c.members);
  EXPECT_EQ(c.y.data_ptr(), before);
}

INSTANTIATE_TEST_SUITE_P(Gate, SegmentedLowrank, testing::ValuesIn(gate_biases), gate_case_name);

}  // namespace
}  // namespace gaggle
