// The bf16 path of the one operation on the CPU against the formula in fp64 of the same values: shapes that end within
// a vector, a pair or a block, and equal bits on any number of threads. Where the processor does not multiply bf16,
// LibTorch's products stand the same tests.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "kernel/bf16_dot.h"
#include "kernel/segmented_lowrank.h"
#include "made.h"

namespace gaggle {
namespace {

struct Shape {
  int64_t tokens, d_in, d_out, rank;
};

struct RowsCase {
  at::Tensor x, dy, y, dx;  // fp64; y and dx are what lies there before
  std::vector<LowRank> members;
  std::vector<Segment> segments;
};

// Two members and one that is absent; the first has two segments, one of the others is empty.
RowsCase rows_case(const Shape& s, std::optional<double> bias) {
  at::manual_seed(11);
  RowsCase c{values({s.tokens, s.d_in}),
             values({s.tokens, s.d_out}),
             values({s.tokens, s.d_out}),
             values({s.tokens, s.d_in}),
             {},
             {}};
  for (const int64_t rank : {s.rank, s.rank + 1}) {
    LowRank member{values({rank, s.d_in}) / 8, values({s.d_out, rank}) / 8, 0.75, {}};
    if (bias) {
      member.gate = values({s.d_in}) / 16;
      member.gate_bias = *bias * static_cast<double>(c.members.size() + 1);
    }
    c.members.push_back(member);
  }
  c.members.push_back({});
  const int64_t a = s.tokens / 2, b = s.tokens - s.tokens / 5, d = s.tokens - s.tokens / 8;
  c.segments = {{0, 0, a}, {1, a, a}, {1, a, b}, {2, b, d}, {0, d, s.tokens}};
  return c;
}

struct RowsResult {
  at::Tensor y, dx;
  std::vector<LowRankGrad> grads;
};

// Parameters' gradients are added to ones, so that what lay there is seen to stay; transposed: in such views.
RowsResult run(const RowsCase& exact, at::ScalarType type, bool transposed = false) {
  RowsCase c = exact;
  for (at::Tensor* t : {&c.x, &c.dy, &c.y, &c.dx}) *t = t->to(type, /*non_blocking=*/false, /*copy=*/true);
  RowsResult to{c.y, c.dx, {}};
  const at::ScalarType sums = type == at::kDouble ? at::kDouble : at::kFloat;
  const auto ones = [&](const at::Tensor& t) {
    return transposed ? at::ones({t.size(1), t.size(0)}, sums).t() : at::ones(t.sizes(), sums);
  };
  for (LowRank& m : c.members) {
    LowRankGrad grad;
    if (m.a.defined()) m.a = m.a.to(type), m.b = m.b.to(type), grad.a = ones(m.a), grad.b = ones(m.b);
    if (m.gate.defined()) m.gate = m.gate.to(sums), grad.gate = at::ones(m.gate.sizes(), sums);
    to.grads.push_back(grad);
  }
  segmented_lowrank_forward(c.x, to.y, c.segments, c.members);
  segmented_lowrank_backward(c.x, c.dy, to.dx, c.segments, c.members, to.grads);
  return to;
}

std::vector<at::Tensor> tensors_of(const RowsResult& r) {
  std::vector<at::Tensor> all{r.y, r.dx};
  for (const LowRankGrad& g : r.grads)
    for (const at::Tensor& t : {g.a, g.b, g.gate})
      if (t.defined()) all.push_back(t);
  return all;
}

const std::vector<Shape> shapes = {
    {0, 40, 24, 4}, {1, 64, 32, 1},   {2, 33, 31, 2},     {3, 576, 192, 16}, {33, 100, 7, 5},
    {50, 1, 1, 3},  {200, 96, 64, 8}, {333, 95, 161, 17}, {97, 130, 66, 31}, {40, 64, 96, 70},
};

class LowrankRows : public testing::TestWithParam<std::optional<double>> {};

TEST_P(LowrankRows, FollowTheFormulaInFp64) {
  for (const Shape& s : shapes) {
    const RowsCase c = rows_case(s, GetParam());
    const auto exact = tensors_of(run(c, at::kDouble));
    for (const bool transposed : {false, true}) {
      const auto ours = tensors_of(run(c, at::kBFloat16, transposed));
      ASSERT_EQ(ours.size(), exact.size());
      for (size_t i = 0; i < ours.size(); ++i)
        EXPECT_LT(apart(ours[i], exact[i]), 8e-3)
            << i << " of " << s.tokens << " tokens, " << s.d_in << " to " << s.d_out << ", rank " << s.rank;
    }
  }
}

TEST_P(LowrankRows, HaveTheSameBitsOnAnyNumberOfThreads) {
  if (!has_bf16_dot()) GTEST_SKIP() << "LibTorch's products promise that for one number alone";
  const int threads = at::get_num_threads();
  for (const Shape& s : shapes) {
    if (s.rank > 31) continue;  // and those are LibTorch's
    const RowsCase c = rows_case({s.tokens * 3, s.d_in, s.d_out, s.rank}, GetParam());
    at::set_num_threads(1);
    const auto one = tensors_of(run(c, at::kBFloat16));
    for (const int n : {2, 3}) {
      at::set_num_threads(n);
      const auto more = tensors_of(run(c, at::kBFloat16));
      for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], more[i])) << i << " on " << n;
    }
  }
  at::set_num_threads(threads);
}

TEST_P(LowrankRows, DoNothingForWhatIsNotWanted) {
  const RowsCase exact = rows_case({75, 70, 45, 6}, GetParam());
  const RowsResult all = run(exact, at::kBFloat16);
  RowsCase c = exact;
  for (at::Tensor* t : {&c.x, &c.dy, &c.dx}) *t = t->to(at::kBFloat16);
  for (LowRank& m : c.members)
    if (m.a.defined()) m.a = m.a.to(at::kBFloat16), m.b = m.b.to(at::kBFloat16);
  for (const int wanted : {0, 1, 2, 4}) {
    std::vector<LowRankGrad> grads(c.members.size());
    for (size_t i = 0; i < 2; ++i) {
      if (wanted == 1) grads[i].a = at::ones(c.members[i].a.sizes());
      if (wanted == 2) grads[i].b = at::ones(c.members[i].b.sizes());
      if (wanted == 4 && GetParam()) grads[i].gate = at::ones(c.members[i].gate.sizes());
    }
    for (LowRank& m : c.members)
      if (m.gate.defined()) m.gate = m.gate.to(at::kFloat);
    at::Tensor dx = wanted == 1 ? at::Tensor() : c.dx.clone();
    segmented_lowrank_backward(c.x, c.dy, dx, c.segments, c.members, grads);
    const auto same_if_wanted = [&](const at::Tensor& part, const at::Tensor& whole) {
      return !part.defined() || at::equal(part, whole);
    };
    EXPECT_TRUE(same_if_wanted(dx, all.dx)) << wanted;
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(same_if_wanted(grads[i].a, all.grads[i].a)) << wanted;
      EXPECT_TRUE(same_if_wanted(grads[i].b, all.grads[i].b)) << wanted;
      EXPECT_TRUE(same_if_wanted(grads[i].gate, all.grads[i].gate)) << wanted;
    }
  }
}

// A sum that bf16 would round: 1 of each of 1,000 tokens, and a 2⁻⁷ of one.
TEST(LowrankRowsSums, AreNotRoundedToBf16) {
  if (!has_bf16_dot()) GTEST_SKIP() << "LibTorch's products round them";
  const auto type = at::TensorOptions().dtype(at::kBFloat16);
  const at::Tensor x = at::ones({1000, 32}, type), dy = at::ones({1000, 1}, type);
  x[0].fill_(1.0 + 1.0 / 128);
  const LowRank member{at::ones({1, 32}, type) / 32, at::ones({1, 1}, type), 1, {}};
  const LowRankGrad grad{at::zeros({1, 32}), at::zeros({1, 1}), {}};
  const Segment all{0, 0, 1000};
  segmented_lowrank_backward(x, dy, {}, {&all, 1}, {&member, 1}, {&grad, 1});
  EXPECT_TRUE(at::equal(grad.a, at::full({1, 32}, 1000 + 1.0 / 128)));
  EXPECT_TRUE(at::equal(grad.b, at::full({1, 1}, 1000 + 1.0 / 128)));
}

INSTANTIATE_TEST_SUITE_P(Gate, LowrankRows, testing::ValuesIn(gate_biases), gate_case_name);

}  // namespace
}  // namespace gaggle
