#include "alignment/similarity.h"

#include <algorithm>
#include <cmath>

#include "alignment/linkage.h"
#include "alignment/sketch.h"
#include "alignment/statistics.h"
#include "base/error.h"
#include "base/names.h"
#include "base/table.h"

namespace gaggle {
namespace {

constexpr size_t widest_matrix = 16;

struct Pair {
  int64_t a, b;
  double cosine;
};

// Highest cosine first; without NaN.
std::vector<Pair> sorted_pairs(const at::Tensor& cosine) {
  std::vector<Pair> pairs;
  const auto value = cosine.accessor<double, 2>();
  for (int64_t i = 0; i < cosine.size(0); ++i)
    for (int64_t j = i + 1; j < cosine.size(0); ++j)
      if (!std::isnan(value[i][j])) pairs.push_back({i, j, value[i][j]});
  std::ranges::stable_sort(pairs, std::greater(), &Pair::cosine);
  return pairs;
}

}  // namespace

std::string cosine_cell(double value, int digits) {
  return std::isnan(value) ? "-" : fmt::format("{:+.{}f}", value, digits);
}

TaskSimilarity task_similarity(std::vector<std::string> tasks, const at::Tensor& sketches) {
  GAGGLE_CHECK(static_cast<int64_t>(tasks.size()) == sketches.size(0));
  const at::Tensor s = sketches.to(at::kCPU, at::kDouble);
  const at::Tensor gram = at::mm(s, s.t()).unsqueeze(0);
  const AlignedSite slot{"all sites", "", 0, 1, 1, sketches.size(1), 0, 0};
  const size_t first = 0;
  return {std::move(tasks), cosines(gram)[0], cosine_errors(gram, {&slot, 1}, {&first, 1}), sketches.size(1)};
}

Page matrix_page(const std::string& what, const std::vector<std::string>& tasks, const at::Tensor& cosine) {
  const std::vector<int> order = linkage_order(cosine);
  const std::string caption = "cosines of " + what + ", alike ones side by side";
  if (tasks.size() > widest_matrix) {
    std::vector<std::string> names;
    for (const int t : order) names.push_back(tasks[static_cast<size_t>(t)]);
    return "by the " + caption + ": " + join(names, ", ") + "\n";
  }
  std::vector<std::string> header = {"#", "task"};
  for (size_t i = 0; i < order.size(); ++i) header.push_back(std::to_string(i + 1));
  Table table(header);
  const auto value = cosine.accessor<double, 2>();
  for (size_t i = 0; i < order.size(); ++i) {
    std::vector<Cell> line = {std::to_string(i + 1), tasks[static_cast<size_t>(order[i])]};
    for (size_t j = 0; j < order.size(); ++j) line.push_back(i == j ? "" : cosine_cell(value[order[i]][order[j]], 2));
    table.add(std::move(line));
  }
  return Page(caption + "\n") + std::move(table);
}

Table pairs_table(const std::vector<std::string>& tasks, const at::Tensor& cosine, const at::Tensor& beside,
                  const std::string& beside_name, int64_t count) {
  const std::vector<Pair> pairs = sorted_pairs(cosine);
  const size_t closest = std::min(static_cast<size_t>(count), pairs.size());
  const size_t farthest = std::min(static_cast<size_t>(count), pairs.size() - closest);  // no pair twice
  std::vector<std::string> header = {"pairs", "task", "and", "cosine"};
  if (beside.defined()) header.push_back(beside_name);
  Table table(header);
  const auto add = [&](const std::string& what, const Pair& pair) {
    std::vector<Cell> line = {what, tasks[static_cast<size_t>(pair.a)], tasks[static_cast<size_t>(pair.b)],
                              cosine_cell(pair.cosine, 3)};
    if (beside.defined()) line.push_back(cosine_cell(beside[pair.a][pair.b].item<double>(), 3));
    table.add(std::move(line));
  };
  for (size_t i = 0; i < closest; ++i) add("closest", pairs[i]);
  for (size_t i = 0; i < farthest; ++i) {
    const Pair& pair = pairs[pairs.size() - 1 - i];
    add(pair.cosine < 0 ? "most conflicting" : "least alike", pair);
  }
  return table;
}

Page similarity_page(const TaskSimilarity& similarity, int64_t pairs) {
  const PairStatistics statistics = pair_statistics(similarity.cosine);
  std::string words = fmt::format("{}, mean cosine {}, {}, {} of them conflicting\n",
                                  plural(static_cast<int64_t>(similarity.tasks.size()), "task"),
                                  cosine_cell(statistics.mean_cosine, 3), plural(statistics.pairs, "pair"),
                                  statistics.pairs == 0 ? "-" : fmt::format("{:.0f} %", 100 * statistics.conflicting));
  words += fmt::format("{}standard error of a cosine {:.3f}\n\n",
                       similarity.dims > 0 ? fmt::format("from sketches of {} dimensions: ", similarity.dims) : "",
                       typical_error(similarity.error));
  return Page(words) + pairs_table(similarity.tasks, similarity.cosine, {}, "", pairs);
}

}  // namespace gaggle
