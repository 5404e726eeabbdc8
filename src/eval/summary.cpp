#include "eval/summary.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "base/long_phase.h"

namespace gaggle {
namespace {

// One method on one task, items joined in the order of the examples.
struct MethodOnTask {
  std::vector<ExampleResult> examples;
  std::vector<double> weight_by_expert;
  bool complete = true;
  std::string expert;  // that stands for oracle
};

void add(std::vector<double>& sums, const std::vector<double>& values) {
  sums.resize(std::max(sums.size(), values.size()));
  for (size_t z = 0; z < values.size(); ++z) sums[z] += values[z];
}

MethodOnTask read_cell(const std::vector<EvalItem>& items, const std::string& method, size_t task,
                       const std::filesystem::path& folder) {
  MethodOnTask cell;
  for (const EvalItem* item : items_of(items, method, task)) {
    const auto path = result_path(folder, item->key);
    if (!std::filesystem::exists(path)) {
      cell.complete = false;
      continue;
    }
    ItemResult result = read_result(path);
    std::ranges::move(result.examples, std::back_inserter(cell.examples));
    add(cell.weight_by_expert, result.weight_by_expert);
  }
  if (!cell.complete) cell.examples.clear();
  return cell;
}

// The metric's verdict; equal ones by NLL. What is not finite is never better.
bool better(const Score& a, const Score& b) {
  if (std::isinf(a.nll.value) || std::isinf(b.nll.value)) return a.nll.value < b.nll.value;
  if (a.points.rows > 0 && b.points.rows > 0 && a.mean_score() != b.mean_score())
    return a.mean_score() > b.mean_score();
  return a.nll_per_token() < b.nll_per_token();
}

// Of the task's own expert, or of the best one where it has none.
MethodOnTask read_oracle(const EvalContext& context, const std::vector<EvalItem>& items, size_t task,
                         const std::filesystem::path& folder) {
  const std::string& own = context.tasks[task].name;
  const bool has_expert = context.collection.number_of(own) >= 0;
  MethodOnTask best;
  for (const std::string& name : context.collection.names) {
    if (items_of(items, "expert:" + name, task).empty() || (has_expert && name != own)) continue;
    MethodOnTask cell = read_cell(items, "expert:" + name, task, folder);
    if (!cell.complete) return {};  // the best of some is not the best
    cell.expert = name;
    if (best.expert.empty() || better(score_of(cell.examples), score_of(best.examples))) best = std::move(cell);
  }
  return best;
}

void append_predictions(std::string& lines, const TokenTask& task, const std::string& method,
                        const std::string& normalise, const std::vector<ExampleResult>& examples) {
  for (const ExampleResult& example : examples) {
    nlohmann::ordered_json line = {{"task", task.name}, {"id", example.id}, {"method", method}};
    if (!example.choices.empty()) {
      line["choices"] = example.choices;
      line["normalise"] = normalise;
      if (example.finite())
        line["choice_score"] = example.choice_scores;
      else
        line["choice_score"] = nullptr;
      for (const ContinuationScore& score : example.scores) {
        line["choice_nll"].push_back(score.nll);
        line["choice_tokens"].push_back(score.tokens);
      }
    }
    line["target_nll"] = example.scores[example.target].nll;
    line["target_tokens"] = example.scores[example.target].tokens;
    line["target"] = example.target_text;
    if (example.predicted && example.finite()) {
      line["prediction"] = example.prediction;
      line["score"] = example.score;
    } else {
      line["prediction"] = line["score"] = nullptr;
    }
    if (counts_right(task.metric))
      line["correct"] = line["score"].is_null() ? nlohmann::ordered_json() : nlohmann::ordered_json(example.score == 1);
    lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
}

}  // namespace

Score score_of(const std::vector<ExampleResult>& examples) {
  Score score;
  for (const ExampleResult& example : examples) {
    const ContinuationScore& target = example.scores[example.target];
    score.nll.add(example.finite() ? target.nll : INFINITY, static_cast<double>(target.tokens));
    if (example.predicted) score.points.add(example.score);
  }
  return score;
}

double Score::mean_score() const { return points.rows > 0 && std::isinf(nll.value) ? INFINITY : points.mean(); }

ConfidenceInterval Score::score_interval(bool counted) const {
  if (std::isinf(nll.value)) return {};
  if (counted) return interval_of_share(points.value, points.rows);
  const ConfidenceInterval interval = interval_of(points);
  return {std::max(0.0, interval.low), std::min(1.0, interval.high)};
}

Score& Score::operator+=(const Score& other) {
  nll += other.nll;
  points += other.points;
  return *this;
}

Score mixed(const Summary& summary, size_t method, bool held_in) {
  Score all;
  for (const size_t t : tasks_of(summary, held_in)) {
    const Score& score = summary.scores[method][t];
    if (score.nll.rows == 0) return {};  // a mean over other examples than the other methods' would mislead
    all += score;
  }
  return all;
}

std::vector<size_t> tasks_of(const Summary& summary, bool held_in) {
  std::vector<size_t> tasks;
  for (size_t t = 0; t < summary.tasks.size(); ++t)
    if (summary.held_in[t] == held_in) tasks.push_back(t);
  return tasks;
}

bool all_count_right(const Summary& summary, const std::vector<size_t>& tasks) {
  return std::ranges::none_of(tasks, [&](size_t t) { return is_a_share(summary.metrics[t]); });
}

std::vector<TemplateGroup> template_groups(const Summary& summary) {
  std::map<std::string, std::vector<size_t>> by_name;
  for (size_t t = 0; t < summary.tasks.size(); ++t)
    if (!summary.groups[t].empty()) by_name[summary.groups[t]].push_back(t);
  std::vector<TemplateGroup> groups;
  for (auto& [name, tasks] : by_name) groups.push_back({name, std::move(tasks)});
  return groups;
}

OverTemplates over_templates(const Summary& summary, size_t method, const TemplateGroup& group) {
  std::vector<double> scores;
  for (const size_t t : group.tasks) scores.push_back(summary.scores[method][t].mean_score());
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  if (std::isnan(sum)) return {NAN, NAN};
  return {sum / static_cast<double>(scores.size()), median_of(std::move(scores))};
}

double median_of(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Summary summarise(const EvalContext& context, const std::vector<Method>& methods, const std::vector<EvalItem>& items,
                  const std::filesystem::path& folder, const std::filesystem::path& predictions) {
  Summary summary;
  summary.experts = context.collection.names;
  for (const TokenTask& task : context.tasks) {
    summary.tasks.push_back(task.name);
    summary.metrics.push_back(task.metric);
    summary.groups.push_back(task.group);
    summary.held_in.push_back(held_in(context, methods, task.name));
  }
  for (const EvalItem& item : items)
    if (!std::filesystem::exists(result_path(folder, item.key)))
      summary.missing.push_back(fmt::format("{} on {} examples {}-{}", item.method.name, summary.tasks[item.task],
                                            item.first + 1, item.last));
  std::string lines;
  LongPhase phase("reading results", static_cast<double>(methods.size() * summary.tasks.size()));
  for (const Method& method : methods) {
    summary.methods.push_back(method.name);
    summary.inventories.push_back(method.inventory ? method.inventory->pin() : "");
    auto& scores = summary.scores.emplace_back();
    auto& chosen = summary.oracle_expert.emplace_back();
    std::vector<double> weight;
    for (size_t t = 0; t < summary.tasks.size(); ++t) {
      const MethodOnTask cell = method.kind == MethodKind::oracle ? read_oracle(context, items, t, folder)
                                                                  : read_cell(items, method.name, t, folder);
      scores.push_back(score_of(cell.examples));
      chosen.push_back(cell.expert);
      append_predictions(lines, context.tasks[t], method.name, context.eval.normalise, cell.examples);
      add(weight, cell.weight_by_expert);
      phase.add();
    }
    const double sum = std::accumulate(weight.begin(), weight.end(), 0.0);
    for (double& w : weight) w = sum == 0 ? 0 : w / sum;  // NaN stays NaN
    summary.expert_share.push_back(std::move(weight));
  }
  write_file_atomic(predictions, lines);
  return summary;
}

}  // namespace gaggle
