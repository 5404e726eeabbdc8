// An analysis for the terminal.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/names.h"
#include "base/table.h"
#include "eval/analysis.h"
#include "eval/summary.h"

namespace gaggle {
namespace {

// "tomi 61 %, sarcasm 20 %": those with the largest values, all of which sum to `sum`.
std::string largest_text(const std::vector<std::string>& experts, const std::vector<double>& values, double sum,
                         size_t most) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](size_t z) { return values[z]; });
  std::vector<std::string> words;
  for (const size_t z : order)
    if (words.size() < most && values[z] > 0)
      words.push_back(fmt::format("{} {:.0f} %", experts[z], 100 * values[z] / sum));
  return words.empty() ? "-" : join(words, ", ");
}

// "tomi +0.531": the expert without which the task loses most, nats per token.
std::string dearest_text(const Analysis& analysis, const MethodRouting& method, size_t task) {
  double most = -INFINITY;
  std::string words = "-";
  for (size_t z = 0; z < method.without.size(); ++z) {
    const double cost = method.without[z][task] - method.tasks[task]->nll_per_token();
    if (cost > most) most = cost, words = fmt::format("{} {:+.3f}", analysis.experts[z], cost);
  }
  return words;
}

Table task_table(const Analysis& analysis, const MethodRouting& method) {
  std::vector<std::string> header = {method.name, "entropy (nats)", "of a token", "own first", "most weight"};
  if (!method.without.empty()) header.push_back("dearest (nats per token)");
  Table table(header);
  for (size_t t = 0; t < analysis.tasks.size(); ++t) {
    if (!method.tasks[t]) continue;
    const RoutingMeasures measures = measures_of(method.tasks[t]->sums, analysis.sites, analysis.own(t));
    const double first = measures.own_first.mean;
    std::vector<Cell> line = {analysis.tasks[t], cell_text(measures.entropy.mean, 2),
                              cell_text(measures.token_entropy.mean, 2),
                              std::isnan(first) ? "-" : fmt::format("{:.1f} %", 100 * first),
                              largest_text(analysis.experts, measures.share, 1, 3)};
    if (!method.without.empty()) line.push_back(dearest_text(analysis, method, t));
    table.add(std::move(line));
  }
  return table;
}

Table class_table(const Analysis& analysis, const MethodRouting& method) {
  RoutingSums all;
  int64_t tokens = 0;
  for (const auto& routed : method.tasks)
    if (routed) add(all, routed->sums);
  for (const WeightSums& sums : all.parts) tokens += sums.tokens;
  Table table({"tokens of all tasks", "share", "most weight"});
  const auto line = [&](const char* name, const WeightSums& sums) {
    if (sums.tokens == 0) return;
    const double weight = std::accumulate(sums.weight.begin(), sums.weight.end(), 0.0);
    table.add({name, fmt::format("{:.1f} %", 100.0 * static_cast<double>(sums.tokens) / static_cast<double>(tokens)),
               largest_text(analysis.experts, sums.weight, weight, 1)});
  };
  for (size_t c = 0; c < all.classes.size(); ++c) line(token_class_names[c], all.classes[c]);
  for (size_t p = 0; p < all.parts.size(); ++p) line(token_part_names[p], all.parts[p]);
  return table;
}

}  // namespace

Page analysis_page(const Analysis& analysis) {
  Page page;
  for (const MethodRouting& method : analysis.methods)
    page += task_table(analysis, method) + Page("\n") + class_table(analysis, method) + "\n";
  if (!analysis.missing.empty()) page += "no result (set aside): " + join(analysis.missing, "; ") + "\n";
  return page;
}

}  // namespace gaggle
