// alignment.jsonl. JSON has no NaN: null stands for it.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "alignment/record.h"
#include "base/error.h"
#include "base/file.h"

namespace gaggle {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}
double number_of(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

void put_statistics(Json& json, const GroupNumbers& group) {
  json["mean_cosine"] = number(group.cosine.mean_cosine);
  json["conflicting"] = number(group.cosine.conflicting);
  json["pairs"] = group.cosine.pairs;
  json["noise_free_cosine"] = number(group.noise_free.mean_cosine);
  json["noise_free_conflicting"] = number(group.noise_free.conflicting);
  json["noise_free_pairs"] = group.noise_free.pairs;
}

GroupNumbers group_of(const Json& json, std::string by, std::string name) {
  return {std::move(by),
          std::move(name),
          {number_of(json.at("mean_cosine")), number_of(json.at("conflicting")), json.at("pairs")},
          {number_of(json.at("noise_free_cosine")), number_of(json.at("noise_free_conflicting")),
           json.at("noise_free_pairs")}};
}

Json line_of(const MeasuredStep& step) {
  Json line = {{"step", step.step}, {"space", name_of(step.space)}, {"tasks", step.tasks}};
  GAGGLE_CHECK(!step.groups.empty() && step.groups[0].by == "all");
  put_statistics(line, step.groups[0]);
  line["window_measurements"] = step.window_measurements;
  line["groups"] = Json::array();
  for (size_t g = 1; g < step.groups.size(); ++g) {
    Json group = {{"by", step.groups[g].by}, {"name", step.groups[g].name}};
    put_statistics(group, step.groups[g]);
    line["groups"].push_back(std::move(group));
  }
  line["sites"] = Json::array();
  for (const double cosine : step.site_cosines) line["sites"].push_back(number(cosine));
  line["sketch_dims"] = step.sketch_dims;
  line["sketch_error"] = number(step.sketch_error);
  line["seconds"] = step.seconds;
  line["step_seconds"] = step.step_seconds;
  return line;
}

MeasuredStep step_of(const Json& line) {
  MeasuredStep step;
  step.step = line.at("step");
  const std::string space = line.at("space");
  step.space = space == "mixed" ? Space::mixed : Space::skill;
  step.tasks = line.at("tasks");
  step.window_measurements = line.at("window_measurements");
  step.groups.push_back(group_of(line, "all", "all"));
  for (const Json& group : line.at("groups"))
    step.groups.push_back(group_of(group, group.at("by"), group.at("name")));
  for (const Json& cosine : line.at("sites")) step.site_cosines.push_back(number_of(cosine));
  step.sketch_dims = line.at("sketch_dims");
  step.sketch_error = number_of(line.at("sketch_error"));
  step.seconds = line.at("seconds");
  step.step_seconds = line.at("step_seconds");
  return step;
}

fs::path lines_path(const fs::path& folder) {
  return folder / "alignment.jsonl";
}

// The whole lines of the file: a run that was killed while it wrote leaves a part of one.
std::vector<std::string> whole_lines(const fs::path& path) {
  std::vector<std::string> lines;
  if (!fs::exists(path)) return lines;
  const std::string text = read_file(path);
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    lines.push_back(text.substr(begin, end - begin));
  return lines;
}

MeasuredStep parse_line(const fs::path& path, size_t number, const std::string& line) {
  try {
    return step_of(Json::parse(line));
  } catch (const nlohmann::json::exception& error) {
    user_error("{}:{}: not a line of alignment ({})", path.string(), number, error.what());
  }
}

}  // namespace

void append_step(const fs::path& folder, const MeasuredStep& step) {
  fs::create_directories(folder);
  std::ofstream file(lines_path(folder), std::ios::app);
  file << line_of(step).dump() << "\n" << std::flush;
  if (!file) system_error("{}: cannot be written", lines_path(folder).string());
}

std::vector<MeasuredStep> read_steps(const fs::path& folder) {
  std::vector<MeasuredStep> steps;
  const std::vector<std::string> lines = whole_lines(lines_path(folder));
  for (size_t i = 0; i < lines.size(); ++i) steps.push_back(parse_line(lines_path(folder), i + 1, lines[i]));
  return steps;
}

void truncate_steps(const fs::path& folder, int64_t step) {
  if (!fs::exists(lines_path(folder))) return;
  std::string kept;
  const std::vector<std::string> lines = whole_lines(lines_path(folder));
  for (size_t i = 0; i < lines.size(); ++i)
    if (parse_line(lines_path(folder), i + 1, lines[i]).step <= step) kept += lines[i] + "\n";
  write_file_atomic(lines_path(folder), kept);
}

}  // namespace gaggle
