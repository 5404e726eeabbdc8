// The activations: their formulas written out, gradients against finite differences (fp64), and the vectorised
// types against fp64 for widths that leave a tail.
#include "kernel/gated.h"

#include <gtest/gtest.h>

#include <numbers>

#include "made.h"

namespace gaggle {
namespace {

struct Activations : testing::TestWithParam<Activation> {
  Activation activation = GetParam();
  void SetUp() override { at::manual_seed(1); }
};

double written_out(Activation activation, double g) {
  if (activation == Activation::silu) return g / (1 + std::exp(-g));
  if (activation == Activation::relu) return g > 0 ? g : 0;
  return 0.5 * g * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (g + 0.044715 * g * g * g)));
}

// By autograd's definition of relu: no gradient at 0.
double slope_written_out(Activation activation, double g) {
  if (activation == Activation::relu) return g > 0 ? 1 : 0;
  return (written_out(activation, g + 1e-5) - written_out(activation, g - 1e-5)) / 2e-5;
}

// Every type at values near and far from 0, both signs; 0 itself; where σ leaves fp32's range.
TEST_P(Activations, AreTheirFormulas) {
  const at::Tensor x = at::cat({at::linspace(-30, 30, 97, at::kDouble), at::tensor({-4e4, -1e-3, 0.0, 1e-3, 4e4})})
                           .to(at::kBFloat16)
                           .to(at::kDouble);
  at::Tensor y = at::empty_like(x), slope = at::empty_like(x);
  for (int64_t i = 0; i < x.numel(); ++i) {
    y[i] = written_out(activation, x[i].item<double>());
    slope[i] = slope_written_out(activation, x[i].item<double>());
  }
  for (const auto& [type, near] : {std::pair{at::kDouble, 1e-9}, {at::kFloat, 1e-6}, {at::kBFloat16, 4e-3}}) {
    at::Tensor gate = x.to(type, false, true), up = at::ones_like(gate), alone = gate.clone();
    const double beside = type == at::kDouble ? 1e-9 : type == at::kFloat ? 2e-6 : 8e-3;
    EXPECT_TRUE(at::allclose(gated(activation, gate, up).to(at::kDouble), y, near, 1e-6));
    EXPECT_TRUE(at::allclose(activated(activation, gate).to(at::kDouble), y, near, 1e-6));
    gated_backward_(activation, gate, up, at::ones_like(gate));
    EXPECT_TRUE(at::allclose(gate.to(at::kDouble), slope, beside, 2e-6));
    EXPECT_TRUE(at::allclose(up.to(at::kDouble), y, near, 1e-6));
    activated_backward_(activation, alone, at::ones_like(alone));
    EXPECT_TRUE(at::allclose(alone.to(at::kDouble), slope, beside, 2e-6));
  }
}

TEST_P(Activations, GradientsMatchFiniteDifferences) {
  const at::Tensor gate = values({3, 5}), up = values({3, 5}), dy = values({3, 5});
  const at::Tensor to_gate = values({3, 5}), to_up = values({3, 5});
  const double h = 1e-6;
  const auto loss = [&](double step) {
    return (gated(activation, gate + to_gate * step, up + to_up * step) * dy).sum().item<double>();
  };
  at::Tensor dgate = gate.clone(), dup = up.clone();
  gated_backward_(activation, dgate, dup, dy);
  const double expected = (dgate * to_gate + dup * to_up).sum().item<double>();
  EXPECT_NEAR((loss(h) - loss(-h)) / (2 * h), expected, 1e-7 * (1 + std::abs(expected)));
  const auto alone = [&](double step) {
    return (activated(activation, gate + to_gate * step) * dy).sum().item<double>();
  };
  at::Tensor dx = gate.clone();
  activated_backward_(activation, dx, dy);
  const double expected_alone = (dx * to_gate).sum().item<double>();
  EXPECT_NEAR((alone(h) - alone(-h)) / (2 * h), expected_alone, 1e-7 * (1 + std::abs(expected_alone)));
}

TEST_P(Activations, TheVectorisedTypesMatchFp64) {
  for (const auto& [type, limit] : {std::pair{at::kFloat, 2e-6}, {at::kBFloat16, 6e-3}})
    for (const int64_t d : {3, 16, 23, 576, 6001}) {  // the last one takes more than one piece
      at::Tensor gate = values({3, d}) * 3, up = values({3, d});
      const at::Tensor dy = values({3, d});
      at::Tensor gates = gate.to(type), ups = up.to(type);
      gate = gates.to(at::kDouble);
      const at::Tensor exact = gated(activation, gate, up), ours = gated(activation, gates, ups);
      EXPECT_EQ(ours.scalar_type(), type);
      EXPECT_LT(apart(ours, exact), limit);
      const at::Tensor turned = gated(activation, gates.t().contiguous().t(), ups);  // the plain path
      EXPECT_LT(apart(turned, exact), limit);
      gated_backward_(activation, gates, ups, dy.to(type));
      gated_backward_(activation, gate, up, dy);
      EXPECT_LT(apart(gates, gate), limit);
      EXPECT_LT(apart(ups, up), limit);
    }
}

INSTANTIATE_TEST_SUITE_P(All, Activations, testing::Values(Activation::silu, Activation::gelu_tanh, Activation::relu));

}  // namespace
}  // namespace gaggle
