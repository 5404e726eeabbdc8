// The summary as tables for the terminal and as results.json.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/names.h"
#include "base/table.h"
#include "eval/summary.h"

namespace gaggle {
namespace {

using Value = double (*)(const Score&);

std::string column_name(const std::string& task) { return task.size() <= 16 ? task : fmt::format("{:.15}…", task); }

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

// One number per method and task of a group, then its mean over the tasks that have it.
std::string group_table(const Summary& summary, bool held_in, const std::string& corner, double factor, int digits,
                        Value value) {
  std::vector<size_t> tasks;
  for (size_t t = 0; t < summary.tasks.size(); ++t) {
    const auto measured = [&](const auto& scores) { return !std::isnan(value(scores[t])); };
    if (summary.held_in[t] == held_in && std::ranges::any_of(summary.scores, measured)) tasks.push_back(t);
  }
  if (tasks.empty()) return "";
  std::vector<std::string> header = {corner};
  for (const size_t t : tasks) header.push_back(column_name(summary.tasks[t]));
  header.push_back("mean");
  Table table(header);
  for (size_t m = 0; m < summary.methods.size(); ++m) {
    std::vector<std::string> line = {line_name(summary, m, held_in)};
    double sum = 0;
    for (const size_t t : tasks) {
      const double number = factor * value(summary.scores[m][t]);
      sum += number;  // NaN stays NaN: no mean over fewer tasks than the other methods'
      line.push_back(cell_text(number, digits));
    }
    line.push_back(cell_text(sum / static_cast<double>(tasks.size()), digits));
    table.add(std::move(line));
  }
  return table.text();
}

// NLL per target token over all held-in examples; NaN: there is no such method.
double mixed_nll(const Summary& summary, const std::string& method) {
  const auto found = std::ranges::find(summary.methods, method);
  if (found == summary.methods.end()) return NAN;
  return mixed(summary, static_cast<size_t>(found - summary.methods.begin()), true).nll_per_token();
}

std::string mixed_table(const Summary& summary) {
  Table table({"held-in examples mixed, no task names", "NLL/token", "right"});
  for (size_t m = 0; m < summary.methods.size(); ++m) {
    const Score score = mixed(summary, m, true);
    const std::string right = cell_text(100 * score.accuracy(), 1);
    table.add({line_name(summary, m, true), cell_text(score.nll_per_token(), 3),
               std::isfinite(score.accuracy()) ? right + " %" : right});
  }
  std::string text = table.text();
  for (const auto* other : {"oracle", "merged"}) {
    const double ours = mixed_nll(summary, "phatgoose"), theirs = mixed_nll(summary, other), ratio = ours / theirs;
    if (std::isfinite(ours) && std::isfinite(theirs))
      text += fmt::format("phatgoose / {} = {:.3f} (NLL per target token)\n", other, ratio);
  }
  return text;
}

nlohmann::ordered_json score_json(const Score& score) {
  nlohmann::ordered_json json = {{"examples", score.examples}, {"target_tokens", score.tokens}};
  json["nll_per_token"] = score.nll_per_token();  // what is not finite is written as null
  if (score.predicted > 0) {
    json["predicted"] = score.predicted;
    json["correct"] = std::isinf(score.nll) ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(score.correct);
    json["accuracy"] = score.accuracy();
  }
  return json;
}

}  // namespace

std::string cell_text(double value, int digits) {
  if (std::isinf(value)) return "not finite";
  return std::isnan(value) ? "-" : fmt::format("{:.{}f}", value, digits);
}

std::string summary_block(const Summary& summary) {
  std::string text;
  const auto nll = [](const Score& score) { return score.nll_per_token(); };
  const auto accuracy = [](const Score& score) { return score.accuracy(); };
  bool any_held_in = false;
  for (const bool held_in : {true, false}) {
    const std::string group = held_in ? "held-in" : "held-out";
    for (const std::string& table : {group_table(summary, held_in, group + " NLL/token", 1, 3, nll),
                                     group_table(summary, held_in, group + " right %", 100, 1, accuracy)})
      if (!table.empty()) {
        text += table + "\n";
        any_held_in = any_held_in || held_in;
      }
  }
  std::vector<std::string> chosen;
  for (size_t m = 0; m < summary.methods.size(); ++m)
    for (size_t t = 0; t < summary.tasks.size(); ++t)
      if (looked(summary, m, t)) chosen.push_back(summary.tasks[t] + ": " + summary.oracle_expert[m][t]);
  if (!chosen.empty())
    text +=
        "* looks at the test: the expert with the best score on these very examples (" + join(chosen, ", ") + ")\n\n";
  if (any_held_in) text += mixed_table(summary);
  if (!summary.missing.empty()) text += "no result (set aside): " + join(summary.missing, "; ") + "\n";
  return text;
}

std::string summary_json(const Summary& summary) {
  nlohmann::ordered_json methods;
  for (size_t m = 0; m < summary.methods.size(); ++m) {
    nlohmann::ordered_json tasks = nlohmann::ordered_json::object();
    for (size_t t = 0; t < summary.tasks.size(); ++t) {
      auto json = score_json(summary.scores[m][t]);
      if (!summary.oracle_expert[m][t].empty()) json["expert"] = summary.oracle_expert[m][t];
      tasks[summary.tasks[t]] = json;
    }
    nlohmann::ordered_json method = {{"tasks", tasks}};
    if (!summary.inventories[m].empty()) method["inventory"] = summary.inventories[m];
    for (const bool held_in : {true, false})
      if (const Score score = mixed(summary, m, held_in); score.examples > 0)
        method[held_in ? "held_in_mixed" : "held_out_mixed"] = score_json(score);
    for (size_t z = 0; z < summary.expert_share[m].size(); ++z)
      method["share_of_routing_weight"][summary.experts[z]] = summary.expert_share[m][z];
    methods[summary.methods[m]] = method;
  }
  nlohmann::ordered_json tasks = nlohmann::ordered_json::object();
  for (size_t t = 0; t < summary.tasks.size(); ++t)
    tasks[summary.tasks[t]] = {{"metric", summary.metrics[t]}, {"held_in", bool(summary.held_in[t])}};
  nlohmann::ordered_json json = {{"format", 1}};
  json.update(summary.results_of);
  json.update({{"experts", summary.experts}, {"tasks", tasks}, {"methods", methods}, {"missing", summary.missing}});
  return json.dump(2) + "\n";
}

nlohmann::ordered_json results_of(nlohmann::ordered_json pins, const std::string& base, const std::string& content) {
  pins["base"] = {{"name", base}, {"content", content}};
  return pins;
}

std::string ending_of_names(const std::filesystem::path& folder, const nlohmann::ordered_json& results_of) {
  const std::filesystem::path file = folder / "results.json";
  if (!std::filesystem::exists(file)) return "";
  try {
    const nlohmann::json there = parse_json(read_file(file)), ours = results_of;
    if (std::ranges::all_of(ours.items(), [&](const auto& of) { return there.at(of.key()) == of.value(); })) return "";
  } catch (const nlohmann::json::exception&) {
    // It says nothing of what it is of, as those of older gaggles: it is kept.
  }
  std::vector<std::string> pins;
  for (const auto& [role, pin] : results_of.items())
    if (pin.is_string() && pin != "") pins.push_back(pin);
  return fmt::format("-{}-{:.8}", pins.empty() ? "none" : join(pins, "+"),
                     results_of.at("base").at("content").get<std::string>());
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
