#include "workflow/cluster.h"

#include <algorithm>
#include <cmath>

#include "alignment/similarity.h"
#include "base/error.h"
#include "base/names.h"
#include "base/table.h"

namespace gaggle {
namespace {

Table table_of(const Likeness& likeness, const Clusters& clusters) {
  Table table({"cluster", "members", "inside", "to others", "of"});
  for (size_t c = 0; c < clusters.size(); ++c) {
    std::vector<std::string> names;
    for (const int member : clusters[c]) names.push_back(likeness.names[static_cast<size_t>(member)]);
    const ClusterMeans means = cluster_means(likeness.similarity, clusters, c);
    table.add({std::to_string(c + 1), std::to_string(names.size()), cosine_cell(means.inside, 3),
               cosine_cell(means.others, 3), join(names, ", ")});
  }
  return table;
}

// Of pairs whose cosine is not known.
std::string unknown_line(const at::Tensor& similarity) {
  const auto value = similarity.accessor<double, 2>();
  int64_t pairs = 0;
  for (int64_t i = 0; i < similarity.size(0); ++i)
    for (int64_t j = i + 1; j < similarity.size(0); ++j) pairs += std::isnan(value[i][j]);
  return pairs == 0 ? ""
                    : fmt::format("{} without a cosine (never in one batch, or of norm 0): it counts as 0\n",
                                  plural(pairs, "pair"));
}

Clusters chosen_clusters(const ClusterRequest& request, const at::Tensor& similarity) {
  const int64_t members = similarity.size(0);
  if (request.clusters > members)
    user_error("--clusters {}: there are {}", request.clusters, plural(members, "member"));
  if (request.clusters > 0)
    return clusters_of(average_linkage(similarity), static_cast<int>(members), static_cast<int>(request.clusters));
  if (members < 3)
    user_error("--clusters auto: needs three members to choose from, there are {}; give a number", members);
  return clusters_by_silhouette(similarity);
}

}  // namespace

Page cluster_page(const ClusterRequest& request) {
  const Likeness likeness = read_likeness(request);
  const Clusters clusters = chosen_clusters(request, likeness.similarity);
  const auto count = static_cast<int64_t>(clusters.size());
  Page page = Page(fmt::format("{}\n{}\n", likeness.about, unknown_line(likeness.similarity))) +
              matrix_page("pairs", likeness.names, likeness.similarity) + "\n" + table_of(likeness, clusters) +
              "(mean cosines of pairs)\n";
  if (count > 1)
    page += fmt::format(
        "mean silhouette {:.3f}{}\n", silhouette(likeness.similarity, clusters),
        request.clusters > 0 ? "" : fmt::format(", the largest of 2 to {} clusters", likeness.names.size() - 1));
  if (request.out.empty()) return page;
  const auto& paths = request.tasks.empty() ? likeness.task_paths : request.tasks;
  write_cluster_tasks(likeness, clusters, paths, request.out);
  return std::move(page) + fmt::format("\n{} in {} · next: gaggle experts CONFIG --data.tasks='[\"{}\"]'\n",
                                       plural(count, "task file"), request.out.lexically_normal().string(),
                                       request.out.lexically_normal().string());
}

}  // namespace gaggle
