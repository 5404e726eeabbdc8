#include "eval/comparison.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/names.h"
#include "base/table.h"
#include "data/task.h"

namespace gaggle {
namespace {

void add_rows(const ScoredRow& a, const ScoredRow& b, TaskComparison& to) {
  to.nll_a.add(a.nll, a.tokens);
  to.nll_b.add(b.nll, b.tokens);
  to.nll_apart.add(b.nll - a.nll, a.tokens);
  if (!a.score || !b.score) return;
  to.score_a.add(*a.score);
  to.score_b.add(*b.score);
  to.score_apart.add(*b.score - *a.score);
  to.only_a_right += *a.score == 1 && *b.score != 1;
  to.only_b_right += *b.score == 1 && *a.score != 1;
}

std::string group_of(const TaskOfEvaluation& a, const TaskOfEvaluation& b) {
  if (a.held_in == b.held_in) return a.held_in ? "held-in" : "held-out";
  return a.held_in ? "held-in for A alone" : "held-in for B alone";
}

MethodComparison compare_rows(const ScoredEvaluation& a, const std::string& method_a, const ScoredEvaluation& b,
                              const std::string& method_b) {
  MethodComparison method{method_b, {}};
  for (const auto& [task, about] : a.tasks) {
    const auto of_b = b.tasks.find(task);
    const auto rows_a = a.rows.find({method_a, task}), rows_b = b.rows.find({method_b, task});
    if (of_b == b.tasks.end() || rows_a == a.rows.end() || rows_b == b.rows.end()) continue;
    TaskComparison compared{task, group_of(about, of_b->second), counts_right(about.metric)};
    for (const auto& [id, row] : rows_a->second)
      if (const auto other = rows_b->second.find(id); other != rows_b->second.end())
        add_rows(row, other->second, compared);
    compared.without_partner =
        static_cast<int64_t>(rows_a->second.size() + rows_b->second.size()) - 2 * compared.nll_a.rows;
    if (compared.nll_a.rows > 0) method.tasks.push_back(std::move(compared));
  }
  return method;
}

std::string words_of(const ScoredEvaluation& one) {
  return one.file.string() + (one.of.empty() ? "" : fmt::format(" ({} on {})", one.of, one.base));
}

// "experts of A alone: a, b".
void note_unshared(const std::vector<std::string>& a, const std::vector<std::string>& b, const std::string& things,
                   std::vector<std::string>& notes) {
  const auto alone = [&](const std::vector<std::string>& of, const std::vector<std::string>& other, const char* whose) {
    std::vector<std::string> names;
    for (const std::string& name : of)
      if (std::ranges::find(other, name) == other.end()) names.push_back(name);
    if (!names.empty()) notes.push_back(fmt::format("{} of {} alone: {}", things, whose, join(names, ", ")));
  };
  alone(a, b, "A");
  alone(b, a, "B");
}

std::vector<std::string> tasks_in(const ScoredEvaluation& one) {
  std::vector<std::string> names;
  for (const auto& [name, about] : one.tasks) names.push_back(name);
  return names;
}

// What two methods do not share is noted once, however many tasks have it.
void finish(Comparison& comparison) {
  std::erase_if(comparison.methods, [](const MethodComparison& method) { return method.tasks.empty(); });
  if (comparison.methods.empty())
    user_error("{} and {} have no row of a task in common (tasks go by their names, rows by their ids)", comparison.a,
               comparison.b);
  int64_t most = 0;
  for (const MethodComparison& method : comparison.methods) {
    int64_t rows = 0;
    for (const TaskComparison& task : method.tasks) rows += task.without_partner;
    most = std::max(most, rows);
  }
  if (most > 0)
    comparison.notes.push_back(
        fmt::format("{} of one of them alone {} left out", plural(most, "example"), most == 1 ? "is" : "are"));
}

}  // namespace

ConfidenceInterval TaskComparison::score_interval() const {
  // B less A: the rows that B alone has right count for it.
  return counted ? interval_of_shares_apart(only_b_right, only_a_right, score_apart.rows) : interval_of(score_apart);
}

Comparison compare(const ScoredEvaluation& a, const ScoredEvaluation& b) {
  Comparison comparison{words_of(a), words_of(b), {}, {}};
  if (a.base_content != b.base_content)
    comparison.notes.push_back(fmt::format("they are of two bases: {} and {}", a.base, b.base));
  note_unshared(a.experts, b.experts, "experts", comparison.notes);
  note_unshared(tasks_in(a), tasks_in(b), "tasks", comparison.notes);
  note_unshared(a.methods, b.methods, "methods", comparison.notes);
  for (const std::string& method : a.methods)
    if (std::ranges::find(b.methods, method) != b.methods.end())
      comparison.methods.push_back(compare_rows(a, method, b, method));
  if (comparison.methods.empty())
    user_error("{} and {} have no method in common: {}; {}", a.file.string(), b.file.string(), join(a.methods, ", "),
               join(b.methods, ", "));
  finish(comparison);
  return comparison;
}

Comparison compare_methods(const ScoredEvaluation& of, const std::string& against) {
  if (std::ranges::find(of.methods, against) == of.methods.end())
    user_error("--against {}{}: {} has {}", against, did_you_mean(against, of.methods), of.file.string(),
               join(of.methods, ", "));
  if (of.methods.size() == 1) user_error("{}: it has no method but {}", of.file.string(), against);
  Comparison comparison{fmt::format("{} of {}", against, words_of(of)), "the method of the line", {}, {}};
  for (const std::string& method : of.methods)
    if (method != against) comparison.methods.push_back(compare_rows(of, against, of, method));
  finish(comparison);
  return comparison;
}

}  // namespace gaggle
