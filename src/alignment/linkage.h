// Average-linkage clustering (Sokal and Michener 1958) of a matrix of similarities: the order in which it is shown, and its
// clusters.
#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace gaggle {

// Two clusters become one, under the lower number of the two: a cluster's is that of its first member.
struct Linked {
  int a = 0, b = 0;       // a < b
  double similarity = 0;  // mean over the pairs with one member in each
};
// similarity [T, T] fp64, symmetric; NaN counts as 0. The two clusters of the highest mean similarity are joined until one is
// left; of several such pairs the one with the lowest a, then b. T - 1 joins, O(T³).
std::vector<Linked> average_linkage(const at::Tensor& similarity);

// The order of its leaves: a's before b's.
std::vector<int> linkage_order(const at::Tensor& similarity);

// What is left after the joins that lead to `count` clusters of `members` members, 1 ≤ count ≤ members: members ascending,
// clusters by their first member.
using Clusters = std::vector<std::vector<int>>;
Clusters clusters_of(const std::vector<Linked>& joins, int members, int count);

// Mean similarity of the pairs inside a cluster, and of its members with all others; NaN where there are none.
struct ClusterMeans {
  double inside = 0, others = 0;
};
ClusterMeans cluster_means(const at::Tensor& similarity, const Clusters& clusters, size_t cluster);

// The mean over members of (b - a) / max(a, b), a the mean distance 1 - s to the others of the member's cluster, b the least
// mean distance to another cluster; 0 for who is alone (Rousseeuw, "Silhouettes", 1987). Two clusters at least.
double silhouette(const at::Tensor& similarity, const Clusters& clusters);
// Of 2 to T - 1 clusters those with the largest silhouette, the fewest where several have it. Three members at least.
Clusters clusters_by_silhouette(const at::Tensor& similarity);

}  // namespace gaggle
