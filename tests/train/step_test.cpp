// The parts of a step: the tree over lanes, owners, schedule, AdamW, clipping.
#include <gtest/gtest.h>

#include "kernel/squared_norms.h"
#include "train/exchange.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace gaggle {
namespace {

TEST(Lanes, SubtreesOfTheRanksCoverTheLanesAndGiveOneTree) {
  at::manual_seed(1);
  for (const int64_t lanes : {1, 2, 3, 5, 6, 7, 8, 16}) {
    const at::Tensor values = at::randn({lanes, 33});
    at::Tensor expected;
    for (int ranks = 1; ranks <= lanes; ++ranks) {
      std::map<TreeNode, at::Tensor> all;
      int64_t covered = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const LaneRange run = lanes_of_rank(rank, ranks, lanes);
        LaneSums sums(run, lanes, 33, at::kCPU);
        for (int twice = 0; twice < 2; ++twice) {  // buffers are used again
          sums.begin();
          for (int64_t lane = run.begin; lane < run.end; ++lane) {
            sums.begin_lane().add_(values[lane]);
            sums.end_lane();
          }
        }
        const auto nodes = complete_subtrees(run, lanes);
        ASSERT_EQ(nodes.size(), sums.pieces().size());
        for (size_t i = 0; i < nodes.size(); ++i) {
          EXPECT_EQ(nodes[i], sums.pieces()[i].node);
          all[nodes[i]] = sums.pieces()[i].sum.clone();
          covered += lanes_of_node(nodes[i], lanes).end - lanes_of_node(nodes[i], lanes).begin;
        }
      }
      EXPECT_EQ(covered, lanes);
      const at::Tensor sum = finish_tree(all, lanes);
      if (ranks == 1) expected = sum.clone();
      EXPECT_TRUE(at::equal(sum, expected)) << lanes << " lanes, " << ranks << " ranks";
      EXPECT_TRUE(at::allclose(sum, values.sum(0), 1e-4, 1e-5));
    }
  }
}

TEST(Lanes, DefaultIsOneAloneElseAPowerOfTwoFromEight) {
  EXPECT_EQ(default_lanes(1), 1);
  EXPECT_EQ(default_lanes(2), 8);
  EXPECT_EQ(default_lanes(9), 16);
}

TEST(Owners, EveryTensorHasOneAndTheyAreBalanced) {
  const ParameterLayout layout({{"b", {40}}, {"a", {10}}, {"d", {30}}, {"c", {20}}});
  const Owners owners = assign_owners(layout, 2);
  EXPECT_EQ(owners.of_tensor, (std::vector<int>{0, 1, 0, 0}));  // a 10 | b 40 | c 20 → rank 0 | d 30: 30 < 40
  EXPECT_EQ(owners.counts, (std::vector<int64_t>{60, 40}));
  const at::Tensor flat = at::arange(100, at::kFloat);
  at::Tensor back = at::zeros({100});
  for (const auto& ranges : owners.ranges) scatter_ranges(gather_ranges(flat, ranges), ranges, back);
  EXPECT_TRUE(at::equal(flat, back));
}

TEST(Schedule, WarmsUpFromZeroThenStaysOrFalls) {
  const Schedule constant{2.0, 0.06, false, 50};  // ⌈0.06 · 50⌉ = 3
  EXPECT_EQ(learning_rate(constant, 0), 0.0);
  EXPECT_DOUBLE_EQ(learning_rate(constant, 1), 2.0 / 3);
  EXPECT_DOUBLE_EQ(learning_rate(constant, 2), 4.0 / 3);
  EXPECT_EQ(learning_rate(constant, 3), 2.0);
  EXPECT_EQ(learning_rate(constant, 49), 2.0);
  const Schedule linear{2.0, 0.1, true, 20};
  EXPECT_EQ(learning_rate(linear, 2), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate(linear, 11), 1.0);
  EXPECT_EQ(learning_rate({2.0, 0, false, 5}, 0), 2.0);
  EXPECT_EQ(learning_rate({2.0, 0.07, false, 100}, 7), 2.0);  // 0.07 · 100 lies a hair above 7
}

TEST(AdamW, FollowsTheFormulaInDoubles) {
  at::manual_seed(2);
  const int64_t n = 50;
  at::Tensor values = at::randn({n}), m = at::zeros({n}), v = at::zeros({n});
  at::Tensor x = values.to(at::kDouble), m64 = m.to(at::kDouble), v64 = v.to(at::kDouble);
  for (int t = 1; t <= 20; ++t) {
    const at::Tensor gradient = at::randn({n});
    const double lr = 0.01 * t, decay = 0.1;
    adamw_update(values, gradient, m, v, t, lr, decay, {0.9, 0.999, 1e-8});
    const at::Tensor g = gradient.to(at::kDouble);
    m64 = 0.9 * m64 + 0.1 * g;
    v64 = 0.999 * v64 + 0.001 * g * g;
    x = x - lr * decay * x - lr * (m64 / (1 - std::pow(0.9, t))) / ((v64 / (1 - std::pow(0.999, t))).sqrt() + 1e-8);
  }
  EXPECT_TRUE(at::allclose(values.to(at::kDouble), x, 1e-5, 1e-6));
}

TEST(Clip, ScalesDownToTheNormAndNeverUp) {
  EXPECT_DOUBLE_EQ(clip_factor(4, 1), 1 / (4 + 1e-6));
  EXPECT_EQ(clip_factor(0.5, 1), 1.0);
  EXPECT_EQ(clip_factor(4, 0), 1.0);
  EXPECT_NEAR(squared_norm(at::full({21}, 2.0f)), 84, 1e-12);
}

}  // namespace
}  // namespace gaggle
