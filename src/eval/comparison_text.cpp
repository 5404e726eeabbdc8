// A comparison as tables.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/table.h"
#include "eval/comparison.h"
#include "eval/summary.h"

namespace gaggle {
namespace {

enum class Measure { nll, score };

// One measure of a task, or its mean over tasks: of A, of B, and their difference.
struct Compared {
  double a = NAN, b = NAN, apart = NAN;
  ConfidenceInterval interval;
};

// In nats per token, or in percent.
Compared compared_on(const TaskComparison& task, Measure measure) {
  if (measure == Measure::nll)
    return {task.nll_a.mean(), task.nll_b.mean(), task.nll_apart.mean(), task.nll_interval()};
  const ConfidenceInterval interval = task.score_interval();
  return {100 * task.score_a.mean(),
          100 * task.score_b.mean(),
          100 * task.score_apart.mean(),
          {100 * interval.low, 100 * interval.high}};
}

Compared mean_over(const std::vector<Compared>& tasks) {
  Compared mean{0, 0, 0, {}};
  std::vector<double> apart;
  std::vector<ConfidenceInterval> intervals;
  const auto count = static_cast<double>(tasks.size());
  for (const Compared& task : tasks) {
    mean.a += task.a / count;
    mean.b += task.b / count;
    mean.apart += task.apart / count;
    apart.push_back(task.apart);
    intervals.push_back(task.interval);
  }
  mean.interval = interval_over_tasks(apart, intervals);
  return mean;
}

bool b_is_better(double apart, Measure measure) { return measure == Measure::nll ? apart < 0 : apart > 0; }

std::string verdict(const Compared& of, Measure measure) {
  if (!of.interval.is_there()) return "-";
  if (of.interval.low <= 0 && of.interval.high >= 0) return "open";
  return b_is_better(of.apart, measure) ? "B better" : "A better";
}

std::vector<Cell> cells_of(const std::string& name, const Compared& of, Measure measure) {
  const int digits = measure == Measure::nll ? 3 : 1;
  const auto with_sign = [&](double value) { return (value > 0 ? "+" : "") + cell_text(value, digits); };
  return {name,
          cell_text(of.a, digits),
          cell_text(of.b, digits),
          with_sign(of.apart),
          with_sign(of.interval.low),
          with_sign(of.interval.high),
          verdict(of, measure)};
}

// Of one group, or "": of all.
std::vector<const TaskComparison*> tasks_with(const MethodComparison& method, Measure measure,
                                              const std::string& group = "") {
  std::vector<const TaskComparison*> tasks;
  for (const TaskComparison& task : method.tasks)
    if ((group.empty() || task.group == group) && (measure == Measure::nll || task.score_apart.rows > 0))
      tasks.push_back(&task);
  return tasks;
}

std::string words_of(Measure measure, const std::vector<const TaskComparison*>& tasks) {
  if (measure == Measure::nll) return "NLL/token";
  const bool counted = std::ranges::all_of(tasks, [](const TaskComparison* task) { return task->counted; });
  return counted ? "right %" : "score %";
}

// Empty where no method has such a task.
Page group_table(const Comparison& comparison, const std::string& group, Measure measure) {
  std::string corner;
  std::vector<std::vector<Cell>> lines;
  for (const MethodComparison& method : comparison.methods) {
    const auto tasks = tasks_with(method, measure, group);
    if (tasks.empty()) continue;
    if (corner.empty()) corner = fmt::format("{} {}", group, words_of(measure, tasks));
    std::vector<Compared> compared;
    for (const TaskComparison* task : tasks) compared.push_back(compared_on(*task, measure));
    const auto better =
        std::ranges::count_if(compared, [&](const Compared& of) { return b_is_better(of.apart, measure); });
    lines.push_back(cells_of(method.name, mean_over(compared), measure));
    lines.back().emplace_back(fmt::format("{} of {}", better, plural(tasks.size(), "task")));
  }
  if (lines.empty()) return {};
  Table table({corner, "A", "B", "B - A", "low", "high", "says", "B better on"});
  for (auto& line : lines) table.add(std::move(line));
  return Page(std::move(table)) + "\n";
}

Page task_table(const MethodComparison& method, Measure measure) {
  const std::vector<const TaskComparison*> tasks = tasks_with(method, measure);
  if (tasks.empty()) return {};
  const std::string corner = fmt::format("{} {}", method.name, words_of(measure, tasks));
  Table table({corner, "A", "B", "B - A", "low", "high", "says", "examples"});
  for (const TaskComparison* task : tasks) {
    std::vector<Cell> line = cells_of(task->task, compared_on(*task, measure), measure);
    line.emplace_back(with_commas(measure == Measure::nll ? task->nll_apart.rows : task->score_apart.rows));
    table.add(std::move(line));
  }
  return Page(std::move(table)) + "\n";
}

}  // namespace

Page comparison_page(const Comparison& comparison, bool by_task) {
  std::string head = fmt::format("A  {}\nB  {}\n", comparison.a, comparison.b);
  for (const std::string& note : comparison.notes) head += note + "\n";
  Page page = head + "\n";
  for (const char* group : {"held-in", "held-out", "held-in for A alone", "held-in for B alone"})
    for (const Measure measure : {Measure::nll, Measure::score}) page += group_table(comparison, group, measure);
  if (by_task)
    for (const MethodComparison& method : comparison.methods)
      for (const Measure measure : {Measure::nll, Measure::score}) page += task_table(method, measure);
  return page + "means over tasks; low and high: the 95 % interval of B - A on these tasks, by their rows\n" +
         glossary_line();
}

}  // namespace gaggle
