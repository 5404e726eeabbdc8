// Pairs side by side against one segment after the other.
#include "kernel/joined_lowrank.h"

#include <gtest/gtest.h>

#include "kernel/segmented_lowrank.h"

namespace gaggle {
namespace {

struct JoinedCase {
  std::vector<Segment> segments = {{1, 0, 4}, {0, 4, 5}, {2, 5, 12}, {0, 12, 14}};
  at::Tensor x = at::randn({14, 10}, at::kDouble), dy = at::randn({14, 6}, at::kDouble);
  std::vector<LowRank> members;
  JoinedPairs joined;
  at::Tensor foreign = foreign_columns(segments, 3, 4, 14, at::kCPU);

  JoinedCase() {
    std::vector<at::Tensor> a, b;
    for (int m = 0; m < 3; ++m) {
      members.push_back({at::randn({4, 10}, at::kDouble), at::randn({6, 4}, at::kDouble), 0.3, {}});
      a.push_back(members.back().a.t());
      b.push_back(members.back().b.t());
    }
    joined = {at::cat(a, 1), at::cat(b, 0), 0.3};
  }
};

TEST(JoinedLowrank, IsTheSegmentedOperation) {
  at::manual_seed(3);
  const JoinedCase c;
  at::Tensor ours = at::ones({14, 6}, at::kDouble), theirs = ours.clone();
  joined_lowrank_forward(c.x, ours, c.joined, c.foreign);
  segmented_lowrank_forward(c.x, theirs, c.segments, c.members);
  EXPECT_TRUE(at::allclose(ours, theirs, 1e-13, 1e-13));

  at::Tensor dx = at::ones_like(c.x), dx_theirs = dx.clone();
  std::vector<LowRankGrad> grads;
  for (const LowRank& m : c.members) grads.push_back({at::zeros_like(m.a), at::zeros_like(m.b), {}});
  const JoinedGrad grad = joined_lowrank_backward(c.x, c.dy, dx, c.joined, c.foreign);
  segmented_lowrank_backward(c.x, c.dy, dx_theirs, c.segments, c.members, grads);
  EXPECT_TRUE(at::allclose(dx, dx_theirs, 1e-13, 1e-13));
  for (int64_t m = 0; m < 3; ++m) {
    const auto& theirs_of = grads[static_cast<size_t>(m)];
    EXPECT_TRUE(at::allclose(0.3 * grad.a.narrow(1, 4 * m, 4), theirs_of.a.t(), 1e-13, 1e-13)) << m;
    EXPECT_TRUE(at::allclose(0.3 * grad.b.narrow(0, 4 * m, 4), theirs_of.b.t(), 1e-13, 1e-13)) << m;
  }
  at::Tensor unwanted;
  EXPECT_TRUE(at::equal(joined_lowrank_backward(c.x, c.dy, unwanted, c.joined, c.foreign).a, grad.a));
}

// A member whose values have left the numbers spoils its own rows and no others.
TEST(JoinedLowrank, WhatIsNotFiniteStaysWithItsTokens) {
  at::manual_seed(4);
  JoinedCase c;
  at::Tensor clean = at::zeros({14, 6}, at::kDouble), spoilt = clean.clone();
  joined_lowrank_forward(c.x, clean, c.joined, c.foreign);
  c.joined.a.narrow(1, 8, 4).fill_(std::numeric_limits<double>::infinity());  // member 2
  joined_lowrank_forward(c.x, spoilt, c.joined, c.foreign);
  EXPECT_TRUE(at::equal(spoilt.narrow(0, 0, 5), clean.narrow(0, 0, 5)));
  EXPECT_TRUE(at::equal(spoilt.narrow(0, 12, 2), clean.narrow(0, 12, 2)));
  EXPECT_FALSE(at::isfinite(spoilt.narrow(0, 5, 7)).any().item<bool>());
}

}  // namespace
}  // namespace gaggle
