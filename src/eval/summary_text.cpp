// The summary as tables for the terminal.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/error.h"
#include "base/names.h"
#include "base/table.h"
#include "eval/summary.h"

namespace gaggle {
namespace {

// One column of a table: a number for every method, and how far it would move with other examples.
struct Column {
  std::string name;
  std::vector<double> numbers;
  std::vector<ConfidenceInterval> intervals = {};  // empty: it has none
};

constexpr size_t few_tasks = 6;  // that stand beside each other; more stand below each other

// The oracle of a task without an expert of its own has looked at the test.
bool looked(const Summary& summary, size_t method, size_t task) {
  const std::string& expert = summary.oracle_expert[method][task];
  return !expert.empty() && expert != summary.tasks[task];
}

// "oracle*" where it has looked in this group.
std::string line_name(const Summary& summary, size_t method, bool held_in) {
  bool star = false;
  for (size_t t = 0; t < summary.tasks.size(); ++t)
    star = star || (summary.held_in[t] == held_in && looked(summary, method, t));
  return summary.methods[method] + (star ? "*" : "");
}

std::vector<std::string> line_names(const Summary& summary, bool held_in) {
  std::vector<std::string> names;
  for (size_t m = 0; m < summary.methods.size(); ++m) names.push_back(line_name(summary, m, held_in));
  return names;
}

// "mean", and "low" and "high" where a method has an interval. NaN stays NaN: no mean over fewer tasks than the other methods'.
std::vector<Column> mean_columns(const std::vector<Column>& columns, size_t methods) {
  Column mean{"mean", {}}, low{"low", {}}, high{"high", {}};
  for (size_t m = 0; m < methods; ++m) {
    std::vector<double> numbers;
    std::vector<ConfidenceInterval> intervals;
    for (const Column& column : columns) {
      numbers.push_back(column.numbers[m]);
      intervals.push_back(column.intervals.empty() ? ConfidenceInterval() : column.intervals[m]);
    }
    mean.numbers.push_back(std::accumulate(numbers.begin(), numbers.end(), 0.0) / static_cast<double>(numbers.size()));
    const ConfidenceInterval interval = interval_over_tasks(numbers, intervals);
    low.numbers.push_back(interval.low);
    high.numbers.push_back(interval.high);
  }
  if (std::ranges::all_of(low.numbers, [](double number) { return std::isnan(number); })) return {mean};
  return {mean, low, high};
}

// The mean with its interval, then the number of every column that any method has one in. Few columns have a line for each
// method, many are lines themselves. Empty: there is no such column.
Page number_table(const std::string& corner, const std::vector<std::string>& methods, std::vector<Column> columns,
                  int digits) {
  std::erase_if(columns, [](const Column& column) {
    return std::ranges::all_of(column.numbers, [](double number) { return std::isnan(number); });
  });
  if (columns.empty()) return {};
  const bool lines_are_methods = columns.size() <= few_tasks;
  std::ranges::move(mean_columns(columns, methods.size()), std::inserter(columns, columns.begin()));
  std::vector<std::string> header = {corner};
  if (lines_are_methods)
    for (const Column& column : columns) header.push_back(column.name);
  else
    header.insert(header.end(), methods.begin(), methods.end());
  Table table(header);
  for (size_t i = 0; i < (lines_are_methods ? methods.size() : columns.size()); ++i) {
    std::vector<Cell> line = {lines_are_methods ? methods[i] : columns[i].name};
    for (size_t j = 0; j < (lines_are_methods ? columns.size() : methods.size()); ++j)
      line.push_back(cell_text(lines_are_methods ? columns[j].numbers[i] : columns[i].numbers[j], digits));
    table.add(std::move(line));
  }
  return Page(std::move(table)) + "\n";
}

// `unit`: what a mean is multiplied by. `mean` and `interval`: of a Score; the interval is told whether all scores are right or wrong.
template <class Mean, class OfScore>
std::vector<Column> task_columns(const Summary& summary, bool held_in, double unit, const Mean& mean,
                                 const OfScore& interval) {
  std::vector<Column> columns;
  for (const size_t t : tasks_of(summary, held_in)) {
    Column& column = columns.emplace_back(Column{summary.tasks[t], {}});
    for (const auto& scores : summary.scores) {
      const ConfidenceInterval of = interval(scores[t], counts_right(summary.metrics[t]));
      column.numbers.push_back(unit * mean(scores[t]));
      column.intervals.push_back({unit * of.low, unit * of.high});
    }
  }
  return columns;
}

std::vector<Column> nll_columns(const Summary& summary, bool held_in) {
  return task_columns(summary, held_in, 1, std::mem_fn(&Score::nll_per_token),
                      [](const Score& score, bool) { return score.nll_interval(); });
}

std::vector<Column> score_columns(const Summary& summary, bool held_in) {
  return task_columns(summary, held_in, 100, std::mem_fn(&Score::mean_score), std::mem_fn(&Score::score_interval));
}

std::string score_word(const Summary& summary, const std::vector<size_t>& tasks) {
  return all_count_right(summary, tasks) ? "right" : "score";
}

Page score_table(const Summary& summary, bool held_in) {
  const std::string word = score_word(summary, tasks_of(summary, held_in));
  return number_table(fmt::format("{} {} %", held_in ? "held-in" : "held-out", word), line_names(summary, held_in),
                      score_columns(summary, held_in), 1);
}

Page template_table(const Summary& summary, const std::string& name, double OverTemplates::*of) {
  std::vector<Column> columns;
  std::vector<size_t> templates;
  for (const TemplateGroup& group : template_groups(summary)) {
    templates.insert(templates.end(), group.tasks.begin(), group.tasks.end());
    Column& column = columns.emplace_back(Column{group.name, {}});
    for (size_t m = 0; m < summary.methods.size(); ++m)
      column.numbers.push_back(100 * (over_templates(summary, m, group).*of));
  }
  return number_table(fmt::format("{} of the templates' {} %", name, score_word(summary, templates)), summary.methods,
                      std::move(columns), 1);
}

// NLL per target token over all held-in examples; NaN: there is no such method.
double mixed_nll(const Summary& summary, const std::string& method) {
  const auto found = std::ranges::find(summary.methods, method);
  if (found == summary.methods.end()) return NAN;
  return mixed(summary, static_cast<size_t>(found - summary.methods.begin()), true).nll_per_token();
}

Page mixed_table(const Summary& summary) {
  const std::vector<size_t> tasks = tasks_of(summary, true);
  const bool counted = all_count_right(summary, tasks);
  std::vector<std::string> heads = {"held-in examples mixed, no task names", "NLL/token", "NLL low", "NLL high"};
  const std::vector<std::string> heads_right = {"right %", "right low", "right high"},
                                 heads_score = {"score %", "score low", "score high"};
  std::ranges::copy(counted ? heads_right : heads_score, std::back_inserter(heads));
  Table table(heads);
  for (size_t m = 0; m < summary.methods.size(); ++m) {
    const Score score = mixed(summary, m, true);
    const ConfidenceInterval nll = score.nll_interval(), right = score.score_interval(counted);
    table.add({line_name(summary, m, true), cell_text(score.nll_per_token(), 3), cell_text(nll.low, 3),
               cell_text(nll.high, 3), cell_text(100 * score.mean_score(), 1), cell_text(100 * right.low, 1),
               cell_text(100 * right.high, 1)});
  }
  Page page = std::move(table);
  for (const auto* other : {"oracle", "merged"}) {
    const double ours = mixed_nll(summary, "phatgoose"), theirs = mixed_nll(summary, other), ratio = ours / theirs;
    if (std::isfinite(ours) && std::isfinite(theirs))
      page += fmt::format("phatgoose / {} = {:.3f} (NLL per target token)\n", other, ratio);
  }
  return page;
}

}  // namespace

std::string cell_text(double value, int digits) {
  if (std::isinf(value)) return "not finite";
  return std::isnan(value) ? "-" : fmt::format("{:.{}f}", value, digits);
}

Page summary_page(const Summary& summary) {
  Page page;
  bool any_held_in = false;
  for (const bool held_in : {true, false}) {
    Page nlls = number_table(held_in ? "held-in NLL/token" : "held-out NLL/token", line_names(summary, held_in),
                             nll_columns(summary, held_in), 3);
    any_held_in = any_held_in || (held_in && !nlls.empty());
    page += std::move(nlls) + score_table(summary, held_in);
  }
  page += template_table(summary, "mean", &OverTemplates::mean);
  page += template_table(summary, "median", &OverTemplates::median);
  std::vector<std::string> chosen;
  for (size_t m = 0; m < summary.methods.size(); ++m)
    for (size_t t = 0; t < summary.tasks.size(); ++t)
      if (looked(summary, m, t)) chosen.push_back(summary.tasks[t] + ": " + summary.oracle_expert[m][t]);
  if (!chosen.empty())
    page +=
        "* looks at the test: the expert with the best score on these very examples (" + join(chosen, ", ") + ")\n\n";
  if (any_held_in) page += mixed_table(summary);
  if (!summary.missing.empty()) page += "no result (set aside): " + join(summary.missing, "; ") + "\n";
  return page;
}

std::string shares_block(const RoutedCollection& collection, const std::vector<double>& weight) {
  const double sum = std::accumulate(weight.begin(), weight.end(), 0.0);
  std::vector<size_t> order(weight.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](size_t z) { return weight[z]; });
  Table table({"expert", "share of routing weight"});
  for (const size_t z : order)
    table.add({collection.names[z], fmt::format("{:.1f} %", sum > 0 ? 100 * weight[z] / sum : 0)});
  return table.text() + "mean over prompt and answer tokens and all sites\n";
}

}  // namespace gaggle
