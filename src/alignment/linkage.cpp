#include "alignment/linkage.h"

#include <algorithm>
#include <limits>
#include <span>

#include "base/error.h"

namespace gaggle {
namespace {

at::Tensor known(const at::Tensor& similarity) {
  GAGGLE_CHECK(similarity.dim() == 2 && similarity.size(0) == similarity.size(1));
  return at::nan_to_num(similarity.to(at::kDouble), 0.0).contiguous();
}

// Mean over the members of `others` but for the member itself; NaN: nobody is left.
double mean_to(const at::TensorAccessor<double, 2>& value, int member, const std::vector<int>& others) {
  double sum = 0;
  int64_t count = 0;
  for (const int other : others)
    if (other != member) sum += value[member][other], ++count;
  return sum / static_cast<double>(count);
}

}  // namespace

std::vector<Linked> average_linkage(const at::Tensor& similarity) {
  const at::Tensor all = known(similarity);
  const auto members = static_cast<size_t>(all.size(0));
  std::vector<double> sums(all.const_data_ptr<double>(), all.const_data_ptr<double>() + members * members);
  const auto sum = [&](size_t a, size_t b) -> double& { return sums[a * members + b]; };
  std::vector<size_t> sizes(members, 1);  // 0: joined to another
  std::vector<Linked> joins;
  while (joins.size() + 1 < members) {
    size_t best_a = 0, best_b = 0;
    double best = -std::numeric_limits<double>::infinity();
    for (size_t a = 0; a < members; ++a)
      for (size_t b = a + 1; b < members && sizes[a] > 0; ++b) {
        if (sizes[b] == 0) continue;
        const double mean = sum(a, b) / static_cast<double>(sizes[a] * sizes[b]);
        if (mean > best) best = mean, best_a = a, best_b = b;
      }
    joins.push_back({static_cast<int>(best_a), static_cast<int>(best_b), best});
    sizes[best_a] += sizes[best_b];
    sizes[best_b] = 0;
    for (size_t other = 0; other < members; ++other)
      sum(best_a, other) = sum(other, best_a) = sum(best_a, other) + sum(best_b, other);
  }
  return joins;
}

std::vector<int> linkage_order(const at::Tensor& similarity) {
  std::vector<std::vector<int>> order;
  for (int member = 0; member < similarity.size(0); ++member) order.push_back({member});
  if (order.empty()) return {};
  for (const Linked& join : average_linkage(similarity)) {
    std::vector<int>&a = order[static_cast<size_t>(join.a)], &b = order[static_cast<size_t>(join.b)];
    a.insert(a.end(), b.begin(), b.end());
  }
  return order[0];
}

Clusters clusters_of(const std::vector<Linked>& joins, int members, int count) {
  GAGGLE_CHECK(count >= 1 && count <= members && static_cast<int>(joins.size()) == members - 1);
  Clusters clusters;
  for (int member = 0; member < members; ++member) clusters.push_back({member});
  for (const Linked& join : std::span(joins).first(static_cast<size_t>(members - count))) {
    std::vector<int>&a = clusters[static_cast<size_t>(join.a)], &b = clusters[static_cast<size_t>(join.b)];
    a.insert(a.end(), b.begin(), b.end());
    b.clear();
  }
  std::erase_if(clusters, [](const std::vector<int>& cluster) { return cluster.empty(); });
  for (std::vector<int>& cluster : clusters) std::ranges::sort(cluster);
  return clusters;
}

ClusterMeans cluster_means(const at::Tensor& similarity, const Clusters& clusters, size_t cluster) {
  const at::Tensor all = known(similarity);
  const auto value = all.accessor<double, 2>();
  double sums[2] = {0, 0};
  int64_t counts[2] = {0, 0};
  for (size_t c = 0; c < clusters.size(); ++c)
    for (const int a : clusters[cluster])
      for (const int b : clusters[c])
        if (a != b) sums[c != cluster] += value[a][b], ++counts[c != cluster];
  return {sums[0] / static_cast<double>(counts[0]), sums[1] / static_cast<double>(counts[1])};
}

double silhouette(const at::Tensor& similarity, const Clusters& clusters) {
  GAGGLE_CHECK(clusters.size() > 1);
  const at::Tensor distance = 1 - known(similarity);
  const auto value = distance.accessor<double, 2>();
  double sum = 0;
  for (size_t c = 0; c < clusters.size(); ++c) {
    if (clusters[c].size() == 1) continue;
    for (const int member : clusters[c]) {
      const double own = mean_to(value, member, clusters[c]);
      double other = std::numeric_limits<double>::infinity();
      for (size_t o = 0; o < clusters.size(); ++o)
        if (o != c) other = std::min(other, mean_to(value, member, clusters[o]));
      if (const double larger = std::max(own, other); larger > 0) sum += (other - own) / larger;
    }
  }
  return sum / static_cast<double>(similarity.size(0));
}

Clusters clusters_by_silhouette(const at::Tensor& similarity) {
  const auto members = static_cast<int>(similarity.size(0));
  GAGGLE_CHECK(members > 2);
  const std::vector<Linked> joins = average_linkage(similarity);
  Clusters best;
  double largest = -std::numeric_limits<double>::infinity();
  for (int count = 2; count < members; ++count) {
    Clusters clusters = clusters_of(joins, members, count);
    if (const double value = silhouette(similarity, clusters); value > largest)
      largest = value, best = std::move(clusters);
  }
  return best;
}

}  // namespace gaggle
