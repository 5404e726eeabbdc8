// Clusters of a matrix of similarities: what is joined first, what is left, how well it hangs together. scipy's linkage on
// random matrices: tests/app/test_cluster.py.
#include "alignment/linkage.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gaggle {
namespace {

// Symmetric, 1 on the diagonal, from what stands above it, row by row.
at::Tensor matrix_with(int64_t members, const std::vector<double>& upper) {
  at::Tensor similarity = at::eye(members, at::kDouble);
  size_t next = 0;
  for (int64_t i = 0; i < members; ++i)
    for (int64_t j = i + 1; j < members; ++j) similarity[i][j] = similarity[j][i] = upper.at(next++);
  return similarity;
}

TEST(LinkageOrder, JoinsByTheMeanOfAllPairs) {
  const auto order = [](const std::vector<double>& upper) { return linkage_order(matrix_with(4, upper)); };
  EXPECT_EQ(order({0.1, 0.9, 0.1, 0.1, 0.8, 0.1}), (std::vector<int>{0, 2, 1, 3}));
  // a-b join; c is near a (0.8) and far from b (0): mean 0.4. d is at 0.45 of both: d joins before c.
  EXPECT_EQ(order({0.9, 0.8, 0.45, 0.0, 0.45, 0.0}), (std::vector<int>{0, 1, 3, 2}));
  // d is nearer to b (0.5) than to a and c together (mean 0.3, sum 0.6).
  EXPECT_EQ(order({0.0, 0.9, 0.3, 0.0, 0.5, 0.3}), (std::vector<int>{0, 2, 1, 3}));
  EXPECT_EQ(order({std::nan(""), 0.2, 0.1, 0.1, 0.1, 0.1}), (std::vector<int>{0, 2, 3, 1}));  // a-b counts as 0
  EXPECT_EQ(linkage_order(at::empty({0, 0}, at::kDouble)).size(), 0u);
}

TEST(Clusters, AreWhatIsLeftOfTheJoins) {
  const std::vector<Linked> joins = average_linkage(matrix_with(5, {0.1, 0.9, 0.1, 0.2, 0.1, 0.8, 0.4, 0.1, 0.2, 0.4}));
  ASSERT_EQ(joins.size(), 4u);
  const std::vector<Linked> expected = {{0, 2, 0.9}, {1, 3, 0.8}, {1, 4, 0.4}, {0, 1, 0.8 / 6}};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(std::pair(joins[i].a, joins[i].b), std::pair(expected[i].a, expected[i].b)) << i;
    EXPECT_DOUBLE_EQ(joins[i].similarity, expected[i].similarity) << i;
  }
  EXPECT_EQ(clusters_of(joins, 5, 5), (Clusters{{0}, {1}, {2}, {3}, {4}}));
  EXPECT_EQ(clusters_of(joins, 5, 3), (Clusters{{0, 2}, {1, 3}, {4}}));
  EXPECT_EQ(clusters_of(joins, 5, 2), (Clusters{{0, 2}, {1, 3, 4}}));
  EXPECT_EQ(clusters_of(joins, 5, 1), (Clusters{{0, 1, 2, 3, 4}}));
}

// All alike: pairs go by number, so the result never depends on how a machine adds.
TEST(Clusters, TiesGoByNumber) {
  const std::vector<Linked> joins = average_linkage(at::ones({4, 4}, at::kDouble));
  EXPECT_EQ(clusters_of(joins, 4, 3), (Clusters{{0, 1}, {2}, {3}}));
  EXPECT_EQ(clusters_of(joins, 4, 2), (Clusters{{0, 1, 2}, {3}}));
}

TEST(Clusters, MeansAndSilhouetteByHand) {
  const at::Tensor similarity = matrix_with(4, {0.8, 0.3, 0.1, 0.2, std::nan(""), 0.5});
  const Clusters clusters = {{0, 1}, {2, 3}};
  const ClusterMeans means = cluster_means(similarity, clusters, 0);
  EXPECT_DOUBLE_EQ(means.inside, 0.8);
  EXPECT_DOUBLE_EQ(means.others, (0.3 + 0.1 + 0.2 + 0) / 4);  // what is not known counts as 0
  const auto of = [](double own, double other) { return (other - own) / std::max(own, other); };
  EXPECT_NEAR(silhouette(similarity, clusters), (of(0.2, 0.8) + of(0.2, 0.9) + of(0.5, 0.75) + of(0.5, 0.95)) / 4,
              1e-12);
  EXPECT_NEAR(silhouette(similarity, {{0, 1}, {2}, {3}}), (of(0.2, 0.7) + of(0.2, 0.8)) / 4, 1e-12);
  EXPECT_TRUE(std::isnan(cluster_means(similarity, {{0}, {1, 2, 3}}, 0).inside));
  EXPECT_TRUE(std::isnan(cluster_means(similarity, {{0, 1, 2, 3}}, 0).others));
}

TEST(Clusters, TheSilhouetteFindsTheGroups) {
  at::Tensor similarity = at::full({7, 7}, 0.05, at::kDouble);
  const Clusters groups = {{0, 3}, {1, 4, 6}, {2, 5}};
  for (const auto& group : groups)
    for (const int a : group)
      for (const int b : group) similarity[a][b] = a == b ? 1 : 0.7;
  EXPECT_EQ(clusters_by_silhouette(similarity), groups);
  EXPECT_EQ(clusters_by_silhouette(at::ones({4, 4}, at::kDouble)).size(), 2u);  // all 0: the fewest
}

}  // namespace
}  // namespace gaggle
