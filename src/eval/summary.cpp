#include "eval/summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace gaggle {
namespace {

// One method on one task, items joined in the order of the examples.
struct Cell {
  std::vector<ExampleResult> examples;
  std::vector<double> weight_by_expert;
  bool complete = true;
};

Cell read_cell(const std::vector<EvalItem>& items, const std::string& method, size_t task,
               const std::filesystem::path& folder) {
  Cell cell;
  for (const EvalItem* item : items_of(items, method, task)) {
    const auto path = result_path(folder, item->key);
    if (!std::filesystem::exists(path)) {
      cell.complete = false;
      continue;
    }
    ItemResult result = read_result(path);
    std::move(result.examples.begin(), result.examples.end(), std::back_inserter(cell.examples));
    cell.weight_by_expert.resize(result.weight_by_expert.size());
    for (size_t z = 0; z < result.weight_by_expert.size(); ++z)
      cell.weight_by_expert[z] += result.weight_by_expert[z];
  }
  return cell;
}

// The metric's verdict; equal ones by NLL.
bool better(const Score& a, const Score& b) {
  if (a.predicted > 0 && b.predicted > 0 && a.accuracy() != b.accuracy()) return a.accuracy() > b.accuracy();
  return a.nll_per_token() < b.nll_per_token();
}

void append_predictions(std::string& lines, const std::string& task, const std::string& method,
                        const std::vector<ExampleResult>& examples) {
  for (const ExampleResult& example : examples) {
    nlohmann::ordered_json line = {{"task", task}, {"id", example.id}, {"method", method}};
    if (!example.choices.empty()) {
      line["choices"] = example.choices;
      for (const ContinuationScore& score : example.scores) {
        line["choice_nll"].push_back(score.nll);
        line["choice_tokens"].push_back(score.tokens);
      }
    }
    line["target_nll"] = example.scores[example.target].nll;
    line["target_tokens"] = example.scores[example.target].tokens;
    line["target"] = example.target_text;
    if (example.predicted) {
      line["prediction"] = example.prediction;
      line["correct"] = example.correct;
    } else {
      line["prediction"] = line["correct"] = nullptr;
    }
    lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
}

}  // namespace

Score score_of(const std::vector<ExampleResult>& examples) {
  Score score;
  for (const ExampleResult& example : examples) {
    score.nll += example.scores[example.target].nll;
    score.tokens += example.scores[example.target].tokens;
    score.examples += 1;
    score.predicted += example.predicted;
    score.correct += example.predicted && example.correct;
  }
  return score;
}

double Score::nll_per_token() const {
  return tokens == 0 ? std::numeric_limits<double>::quiet_NaN() : nll / static_cast<double>(tokens);
}

double Score::accuracy() const {
  return predicted == 0 ? std::numeric_limits<double>::quiet_NaN()
                        : static_cast<double>(correct) / static_cast<double>(predicted);
}

Score mixed(const Summary& summary, size_t method, bool held_in) {
  Score all;
  for (size_t t = 0; t < summary.tasks.size(); ++t) {
    if (summary.held_in[t] != held_in) continue;
    const Score& score = summary.scores[method][t];
    if (score.examples == 0) return {};  // a mean over other examples than the other methods' would mislead
    all.nll += score.nll;
    all.tokens += score.tokens;
    all.examples += score.examples;
    all.predicted += score.predicted;
    all.correct += score.correct;
  }
  return all;
}

Summary summarise(const EvalContext& context, const std::vector<Method>& methods,
                  const std::vector<EvalItem>& items, const std::filesystem::path& folder) {
  Summary summary;
  summary.experts = context.collection.names;
  for (const TokenTask& task : context.tasks) {
    summary.tasks.push_back(task.name);
    summary.metrics.push_back(task.metric);
    summary.held_in.push_back(held_in(context, methods, task.name));
  }
  for (const EvalItem& item : items)
    if (!std::filesystem::exists(result_path(folder, item.key)))
      summary.missing.push_back(fmt::format("{} on {} examples {}-{}", item.method.name,
                                            summary.tasks[item.task], item.first + 1, item.last));
  std::string lines;
  for (const Method& method : methods) {
    summary.methods.push_back(method.name);
    summary.inventories.push_back(method.inventory ? method.inventory->pin() : "");
    auto& scores = summary.scores.emplace_back();
    auto& chosen = summary.oracle_expert.emplace_back();
    std::vector<double> weight;
    for (size_t t = 0; t < summary.tasks.size(); ++t) {
      Cell cell;
      std::string expert;
      if (method.kind != MethodKind::oracle) {
        cell = read_cell(items, method.name, t, folder);
      } else {
        const bool has_expert = context.collection.number_of(summary.tasks[t]) >= 0;
        for (const std::string& name : summary.experts) {
          if (items_of(items, "expert:" + name, t).empty()) continue;
          if (has_expert && name != summary.tasks[t]) continue;
          Cell candidate = read_cell(items, "expert:" + name, t, folder);
          if (!candidate.complete) {  // the best of some is not the best
            cell = {};
            expert.clear();
            break;
          }
          if (!expert.empty() && !better(score_of(candidate.examples), score_of(cell.examples))) continue;
          cell = std::move(candidate);
          expert = name;
        }
      }
      if (!cell.complete) cell.examples.clear();
      scores.push_back(score_of(cell.examples));
      chosen.push_back(expert);
      append_predictions(lines, summary.tasks[t], method.name, cell.examples);
      weight.resize(std::max(weight.size(), cell.weight_by_expert.size()));
      for (size_t z = 0; z < cell.weight_by_expert.size(); ++z) weight[z] += cell.weight_by_expert[z];
    }
    double sum = 0;
    for (const double w : weight) sum += w;
    for (double& w : weight) w = sum > 0 ? w / sum : 0;
    summary.expert_share.push_back(std::move(weight));
  }
  write_file_atomic(folder / "predictions.jsonl", lines);
  return summary;
}

}  // namespace gaggle
