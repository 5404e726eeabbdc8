// The summary as results.json, and what it is of.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/names.h"
#include "eval/summary.h"

namespace gaggle {
namespace {

nlohmann::ordered_json interval_json(const ConfidenceInterval& interval) {
  return interval.is_there() ? nlohmann::ordered_json{interval.low, interval.high} : nlohmann::ordered_json();
}

// `counted`: every score is one of right or wrong. What is not finite is written as null.
nlohmann::ordered_json score_json(const Score& score, bool counted) {
  nlohmann::ordered_json json = {{"examples", score.nll.rows}, {"target_tokens", std::llround(score.nll.weight)}};
  json["nll_per_token"] = score.nll_per_token();
  json["nll_interval"] = interval_json(score.nll_interval());
  if (score.points.rows > 0) {
    json["predicted"] = score.points.rows;
    json["score"] = score.mean_score();
    json["score_interval"] = interval_json(score.score_interval(counted));
    if (counted) {
      json["correct"] = nullptr;
      if (!std::isinf(score.nll.value)) json["correct"] = std::llround(score.points.value);
      json["accuracy"] = score.mean_score();
    }
  }
  return json;
}

nlohmann::ordered_json json_of_groups(const Summary& summary, size_t method) {
  nlohmann::ordered_json groups;
  for (const TemplateGroup& group : template_groups(summary)) {
    const OverTemplates over = over_templates(summary, method, group);
    groups[group.name] = {{"mean_score", over.mean}, {"median_score", over.median}};
  }
  return groups;
}

}  // namespace

std::string summary_json(const Summary& summary) {
  nlohmann::ordered_json methods;
  for (size_t m = 0; m < summary.methods.size(); ++m) {
    nlohmann::ordered_json tasks = nlohmann::ordered_json::object();
    for (size_t t = 0; t < summary.tasks.size(); ++t) {
      auto json = score_json(summary.scores[m][t], counts_right(summary.metrics[t]));
      if (!summary.oracle_expert[m][t].empty()) json["expert"] = summary.oracle_expert[m][t];
      tasks[summary.tasks[t]] = json;
    }
    nlohmann::ordered_json method = {{"tasks", tasks}};
    if (!summary.inventories[m].empty()) method["inventory"] = summary.inventories[m];
    for (const bool held_in : {true, false})
      if (const Score score = mixed(summary, m, held_in); score.nll.rows > 0)
        method[held_in ? "held_in_mixed" : "held_out_mixed"] =
            score_json(score, all_count_right(summary, tasks_of(summary, held_in)));
    if (const auto groups = json_of_groups(summary, m); !groups.empty()) method["groups"] = groups;
    for (size_t z = 0; z < summary.expert_share[m].size(); ++z)
      method["share_of_routing_weight"][summary.experts[z]] = summary.expert_share[m][z];
    methods[summary.methods[m]] = method;
  }
  nlohmann::ordered_json tasks = nlohmann::ordered_json::object();
  for (size_t t = 0; t < summary.tasks.size(); ++t) {
    tasks[summary.tasks[t]] = {{"metric", summary.metrics[t]}, {"held_in", bool(summary.held_in[t])}};
    if (!summary.groups[t].empty()) tasks[summary.tasks[t]]["group"] = summary.groups[t];
  }
  nlohmann::ordered_json json = {{"format", 1}};
  json.update(summary.results_of);
  json.update({{"experts", summary.experts}, {"tasks", tasks}, {"methods", methods}, {"missing", summary.missing}});
  return json.dump(2) + "\n";
}

nlohmann::ordered_json results_of(nlohmann::ordered_json pins, const std::string& base, const std::string& content) {
  pins["base"] = {{"name", base}, {"content", content}};
  return pins;
}

std::string ending_of_names(const std::filesystem::path& folder, const nlohmann::ordered_json& results_of,
                            const char* file) {
  if (!std::filesystem::exists(folder / file)) return "";
  try {
    const nlohmann::json there = parse_json(read_file(folder / file)), ours = results_of;
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

}  // namespace gaggle
