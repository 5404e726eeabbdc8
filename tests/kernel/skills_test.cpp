// Skills mixed into adapters, and all skills at once, against the formulas written with einsum and against
// autograd of them in fp64.
#include <gtest/gtest.h>

#include "kernel/segmented_lowrank.h"
#include "kernel/skill_mixing.h"
#include "kernel/stacked_skills.h"
#include "made.h"

namespace gaggle {
namespace {

// [M, h, K], as routing makes them: positive, Σ_k = 1.
at::Tensor routing(int64_t mixtures, int64_t heads, int64_t skills) {
  return at::softmax(at::randn({mixtures, heads, skills}), 2).to(at::kFloat).to(at::kDouble);
}

struct MixCase {
  int64_t mixtures, heads, skills, n;
};

class Mixing : public testing::TestWithParam<MixCase> {
 protected:
  Mixing() {
    at::manual_seed(5);
    const auto [m, h, k, n] = GetParam();
    skills = values({h, k, n});
    w = routing(m, h, k);
    gradient = values({m, h, n});
  }
  at::Tensor skills, w, gradient;
};

TEST_P(Mixing, EqualsEinsumInEveryType) {
  const at::Tensor exact = at::einsum("mhk,hkn->mhn", {w, skills});
  EXPECT_LT(apart(mix_skills(skills, w, at::kDouble), exact), 1e-14);
  const at::Tensor s = skills.to(at::kFloat), v = w.to(at::kFloat);
  EXPECT_LT(apart(mix_skills(s, v, at::kFloat), exact), 1e-6);
  const at::Tensor narrow = mix_skills(s, v, at::kBFloat16);
  EXPECT_EQ(narrow.scalar_type(), at::kBFloat16);
  // Summed in fp32, rounded once.
  EXPECT_TRUE(at::equal(narrow, mix_skills(s, v, at::kFloat).to(at::kBFloat16)));
}

TEST_P(Mixing, GradientsEqualEinsumAndAreAdded) {
  const at::Tensor d_skills = at::einsum("mhk,mhn->hkn", {w, gradient});
  const at::Tensor d_w = at::einsum("mhn,hkn->mhk", {gradient, skills});
  for (const auto& [type, limit] : {std::pair{at::kDouble, 1e-13}, std::pair{at::kFloat, 2e-6}}) {
    at::Tensor to_skills = at::ones_like(skills, type), to_w = at::ones_like(w, type);
    mix_skills_backward(gradient.to(type), skills.to(type), w.to(type), to_skills, to_w);
    EXPECT_LT(apart(to_skills, d_skills + 1), limit);
    EXPECT_LT(apart(to_w, d_w + 1), limit);
    at::Tensor skills_alone = at::ones_like(to_skills), w_alone = at::ones_like(to_w);
    mix_skills_backward(gradient.to(type), skills.to(type), w.to(type), skills_alone, {});
    mix_skills_backward(gradient.to(type), skills.to(type), w.to(type), {}, w_alone);
    EXPECT_TRUE(at::equal(skills_alone, to_skills));
    EXPECT_TRUE(at::equal(w_alone, to_w));
  }
}

TEST_P(Mixing, BitsOfAMixtureDoNotDependOnTheOthers) {
  const at::Tensor s = skills.to(at::kFloat), v = w.to(at::kFloat), g = gradient.to(at::kFloat);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor all = mix_skills(s, v, type);
    for (int64_t m = 0; m < v.size(0); ++m)
      EXPECT_TRUE(at::equal(mix_skills(s, v.narrow(0, m, 1).contiguous(), type)[0], all[m]));
  }
  at::Tensor d_w = at::zeros_like(v);
  mix_skills_backward(g, s, v, {}, d_w);
  for (int64_t m = 0; m < v.size(0); ++m) {
    at::Tensor alone = at::zeros({1, v.size(1), v.size(2)});
    mix_skills_backward(g.narrow(0, m, 1).contiguous(), s, v.narrow(0, m, 1).contiguous(), {}, alone);
    EXPECT_TRUE(at::equal(alone[0], d_w[m]));
  }
}

TEST_P(Mixing, ASkillOfWeightZeroIsNeverTouched) {
  const at::Tensor s = skills.to(at::kFloat), g = gradient.to(at::kFloat);
  at::Tensor v = w.to(at::kFloat).clone();
  v.select(2, 0).zero_();
  at::Tensor without = s.clone();
  without.select(1, 0).fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(at::equal(mix_skills(without, v, at::kFloat), mix_skills(s, v, at::kFloat)));
  at::Tensor d_skills = at::zeros_like(s);
  mix_skills_backward(g, s, v, d_skills, {});
  EXPECT_EQ(d_skills.select(1, 0).abs().max().item<float>(), 0);
}

// Sizes off the width of a vector and beyond a block of 2048.
INSTANTIATE_TEST_SUITE_P(Shapes, Mixing,
                         testing::Values(MixCase{1, 1, 1, 1}, MixCase{3, 4, 5, 37}, MixCase{2, 1, 8, 2049},
                                         MixCase{5, 2, 3, 4100}));

struct StackCase {
  int64_t heads, skills, rank;
};

class Stacked : public testing::TestWithParam<StackCase> {
 protected:
  Stacked() {
    at::manual_seed(6);
    const auto [h, k, r] = GetParam();
    x = values({rows, 12}), y = values({rows, 8}), dy = values({rows, 8});
    skills = {values({h, k, 12 / h, r}), values({h, k, r, 8 / h}), 0.7};
    w = routing(rows, h, k);
  }
  // The formula itself, row by row with its own mixed pair.
  static at::Tensor naive(const at::Tensor& x, const at::Tensor& y, const at::Tensor& w, const StackedSkills& s) {
    const at::Tensor a = at::einsum("thk,hkir->thir", {w, s.a}).flatten(1, 2);  // [T, d_in, r]
    const at::Tensor b = at::einsum("thk,hkro->thor", {w, s.b}).flatten(1, 2);  // [T, d_out, r]
    return y + s.scale * at::einsum("tor,tr->to", {b, at::einsum("ti,tir->tr", {x, a})});
  }
  static constexpr int64_t rows = 7;
  at::Tensor x, y, dy, w;
  StackedSkills skills;
};

TEST_P(Stacked, EqualsAutogradOfTheFormula) {
  at::Tensor x1 = x.clone().set_requires_grad(true), w1 = w.clone().set_requires_grad(true);
  StackedSkills s1{skills.a.clone().set_requires_grad(true), skills.b.clone().set_requires_grad(true), 0.7};
  const at::Tensor expected = naive(x1, y, w1, s1);
  expected.backward(dy);
  at::Tensor out = y.clone(), dx = at::ones_like(x);
  stacked_skills_forward(x, out, w, skills);
  EXPECT_LT(apart(out, expected.detach()), 1e-14);
  StackedGrad grad{at::ones_like(skills.a), at::ones_like(skills.b), at::ones_like(w)};
  stacked_skills_backward(x, dy, dx, w, skills, grad);
  EXPECT_LT(apart(dx - 1, x1.grad()), 1e-13);
  EXPECT_LT(apart(grad.a - 1, s1.a.grad()), 1e-13);
  EXPECT_LT(apart(grad.b - 1, s1.b.grad()), 1e-13);
  EXPECT_LT(apart(grad.w - 1, w1.grad()), 1e-13);
}

TEST_P(Stacked, UnwantedGradientsAreSkippedAndTheRestUnchanged) {
  at::Tensor dx = at::zeros_like(x);
  StackedGrad all{at::zeros_like(skills.a), at::zeros_like(skills.b), at::zeros_like(w)};
  stacked_skills_backward(x, dy, dx, w, skills, all);
  const StackedGrad none;
  at::Tensor dx_alone = at::zeros_like(x);
  stacked_skills_backward(x, dy, dx_alone, w, skills, none);
  EXPECT_TRUE(at::equal(dx, dx_alone));
  StackedGrad a{at::zeros_like(skills.a), {}, {}}, b{{}, at::zeros_like(skills.b), {}}, of_w{{}, {}, at::zeros_like(w)};
  for (const StackedGrad* one : {&a, &b, &of_w}) stacked_skills_backward(x, dy, {}, w, skills, *one);
  EXPECT_TRUE(at::equal(a.a, all.a) && at::equal(b.b, all.b) && at::equal(of_w.w, all.w));
}

// One mixture for all rows: mixing it first gives the same, passes and gradients.
TEST_P(Stacked, EqualsMixingFirst) {
  const auto [h, k, r] = GetParam();
  const at::Tensor one = w.narrow(0, 2, 1).contiguous(), by_row = one.expand({rows, h, k}).contiguous();
  const at::Tensor sa = skills.a.view({h, k, -1}), sb = skills.b.view({h, k, -1});
  const auto as_b = [&, h = h, r = r](const at::Tensor& mixed) {
    return mixed.view({h, r, 8 / h}).transpose(1, 2).reshape({8, r});
  };
  const LowRank pair{
      mix_skills(sa, one, at::kDouble).view({12, r}).t(), as_b(mix_skills(sb, one, at::kDouble)), 0.7, {}};
  const std::vector<Segment> segments = {{0, 0, rows}};
  at::Tensor mixed = y.clone(), stacked = y.clone();
  segmented_lowrank_forward(x, mixed, segments, std::span(&pair, 1));
  stacked_skills_forward(x, stacked, by_row, skills);
  EXPECT_LT(apart(stacked, mixed), 1e-14);

  at::Tensor dx_mixed = at::zeros_like(x), dx_stacked = at::zeros_like(x);
  at::Tensor flat_a = at::zeros({12, r}, at::kDouble), flat_b = at::zeros({8, r}, at::kDouble);
  const LowRankGrad pair_grad{flat_a.t(), flat_b, {}};
  segmented_lowrank_backward(x, dy, dx_mixed, segments, std::span(&pair, 1), std::span(&pair_grad, 1));
  at::Tensor d_a = at::zeros_like(sa), d_b = at::zeros_like(sb), d_w = at::zeros_like(one);
  mix_skills_backward(flat_a.view({1, h, -1}), sa, one, d_a, d_w);
  mix_skills_backward(flat_b.view({h, 8 / h, r}).transpose(1, 2).reshape({1, h, -1}), sb, one, d_b, d_w);
  StackedGrad grad{at::zeros_like(skills.a), at::zeros_like(skills.b), at::zeros_like(w)};
  stacked_skills_backward(x, dy, dx_stacked, by_row, skills, grad);
  EXPECT_LT(apart(dx_stacked, dx_mixed), 1e-13);
  EXPECT_LT(apart(grad.a.view(sa.sizes()), d_a), 1e-13);
  EXPECT_LT(apart(grad.b.view(sb.sizes()), d_b), 1e-13);
  EXPECT_LT(apart(grad.w.sum(0, true), d_w), 1e-13);
}

TEST_P(Stacked, NarrowTypesFollowFp64) {
  at::Tensor out = y.clone(), dx = at::zeros_like(x);
  StackedGrad exact{at::zeros_like(skills.a), at::zeros_like(skills.b), at::zeros_like(w)};
  stacked_skills_forward(x, out, w, skills);
  stacked_skills_backward(x, dy, dx, w, skills, exact);
  for (const auto& [type, limit] : {std::pair{at::kFloat, 1e-5}, std::pair{at::kBFloat16, 2e-2}}) {
    const StackedSkills narrow{skills.a.to(type), skills.b.to(type), 0.7};
    const at::Tensor v = w.to(at::kFloat);
    at::Tensor y1 = y.to(type), dx1 = at::zeros_like(x, type);
    StackedGrad grad{at::zeros_like(skills.a, at::kFloat), at::zeros_like(skills.b, at::kFloat),
                     at::zeros_like(w, at::kFloat)};
    stacked_skills_forward(x.to(type), y1, v, narrow);
    stacked_skills_backward(x.to(type), dy.to(type), dx1, v, narrow, grad);
    EXPECT_LT(apart(y1, out), limit);
    EXPECT_LT(apart(dx1, dx), limit);
    EXPECT_LT(apart(grad.a, exact.a), limit);
    EXPECT_LT(apart(grad.b, exact.b), limit);
    EXPECT_LT(apart(grad.w, exact.w), limit);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Stacked,
                         testing::Values(StackCase{1, 1, 2}, StackCase{1, 3, 1}, StackCase{4, 3, 2},
                                         StackCase{2, 5, 3}));

TEST(MixingIsCheaper, GrowsWithTheRowsAndDependsOnTypeAndDevice) {
  EXPECT_FALSE(mixing_is_cheaper(8, at::kFloat, at::kCPU));
  EXPECT_TRUE(mixing_is_cheaper(9, at::kFloat, at::kCPU));
  EXPECT_FALSE(mixing_is_cheaper(32, at::kBFloat16, at::kCPU));
  EXPECT_TRUE(mixing_is_cheaper(33, at::kBFloat16, at::kCPU));
}

}  // namespace
}  // namespace gaggle
