#include "eval/scored_rows.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/json_lines.h"
#include "base/names.h"

namespace gaggle {
namespace {

std::vector<std::string> results_in(const fs::path& folder) {
  std::vector<std::string> names;
  if (!fs::is_directory(folder)) return names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("results") && name.ends_with(".json")) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

fs::path results_of_path(const fs::path& path) {
  if (fs::is_regular_file(path)) return path;
  for (const fs::path& folder : {path, path / "eval"}) {
    const std::vector<std::string> names = results_in(folder);
    if (names.size() == 1) return folder / names[0];
    if (names.size() > 1)
      user_error("{}: several evaluations lie there: name one of {}", folder.string(), join(names, ", "));
  }
  user_error("{}: no evaluation is there (results.json, or eval/results.json as gaggle eval writes it)", path.string());
}

void read_about(const nlohmann::ordered_json& json, ScoredEvaluation& of) {
  if (json.contains("collection") && json["collection"].is_string()) of.of = json["collection"];
  if (json.contains("base")) of.base = json["base"].at("name"), of.base_content = json["base"].at("content");
  if (json.contains("experts")) of.experts = json["experts"].get<std::vector<std::string>>();
  for (const auto& [method, scores] : json.at("methods").items()) of.methods.push_back(method);
  for (const auto& [task, about] : json.at("tasks").items()) of.tasks[task] = {about.at("metric"), about.at("held_in")};
}

void add_row(const nlohmann::ordered_json& line, ScoredEvaluation& of) {
  auto& rows = of.rows[{line.at("method"), line.at("task")}];
  ScoredRow row{number_or_nan(line.at("target_nll")), line.at("target_tokens").get<double>(), {}};
  if (line.contains("score") && !line["score"].is_null()) row.score = line["score"].get<double>();
  const std::string id = line.at("id");
  for (int same = 1; !rows.emplace(same == 1 ? id : fmt::format("{} {}", id, same), row).second; ++same) continue;
}

}  // namespace

ScoredEvaluation read_evaluation(const fs::path& path) {
  ScoredEvaluation of;
  of.file = results_of_path(path);
  try {
    read_about(parse_json<nlohmann::ordered_json>(read_file(of.file)), of);
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: not the results of an evaluation ({})", of.file.string(), json_reason(error));
  }
  const std::string ending = of.file.stem().string().substr(std::string("results").size());
  const fs::path predictions = of.file.parent_path() / ("predictions" + ending + ".jsonl");
  if (!fs::exists(predictions))
    user_error("{}: is not there, but belongs to {}: gaggle eval writes both again", predictions.string(),
               of.file.string());
  read_json_lines(predictions, "predictions.jsonl", [&](const auto& line) { add_row(line, of); });
  return of;
}

}  // namespace gaggle
