// alignment.jsonl. JSON has no NaN: nlohmann writes null for it.
#include <cmath>

#include "alignment/record.h"
#include "base/error.h"
#include "base/json_lines.h"

namespace gaggle {
namespace {

using Json = nlohmann::ordered_json;

double number_of(const Json& json) { return json.is_null() ? unknown : json.get<double>(); }

Json json_of(const GroupNumbers& group) {
  return {{"mean_cosine", group.cosine.mean_cosine},
          {"median_cosine", group.cosine.median_cosine},
          {"conflicting", group.cosine.conflicting},
          {"pairs", group.cosine.pairs},
          {"noise_free_cosine", group.noise_free.mean_cosine},
          {"noise_free_median", group.noise_free.median_cosine},
          {"noise_free_conflicting", group.noise_free.conflicting},
          {"noise_free_pairs", group.noise_free.pairs}};
}

GroupNumbers group_of(const Json& json, std::string by, std::string name) {
  return {std::move(by),
          std::move(name),
          {number_of(json.at("mean_cosine")), number_of(json.at("median_cosine")), number_of(json.at("conflicting")),
           json.at("pairs")},
          {number_of(json.at("noise_free_cosine")), number_of(json.at("noise_free_median")),
           number_of(json.at("noise_free_conflicting")), json.at("noise_free_pairs")}};
}

// Four digits: there may be many.
Json rounded(const std::vector<double>& values) {
  Json json = Json::array();
  for (const double value : values) json.push_back(std::round(value * 1e4) / 1e4);
  return json;
}

Json line_of(const MeasuredStep& step) {
  GAGGLE_CHECK(!step.groups.empty() && step.groups[0].by == "all");
  Json line = {{"step", step.step}, {"space", name_of(step.space)}, {"tasks", step.tasks}};
  line.update(json_of(step.groups[0]));
  line["window_measurements"] = step.window_measurements;
  line["groups"] = Json::array();
  for (size_t g = 1; g < step.groups.size(); ++g) {
    Json& group = line["groups"].emplace_back(Json{{"by", step.groups[g].by}, {"name", step.groups[g].name}});
    group.update(json_of(step.groups[g]));
  }
  line["sites"] = step.site_cosines;
  line["batch"] = step.batch;
  line["pair_cosines"] = rounded(step.pair_cosines);
  line["sketch_dims"] = step.sketch_dims;
  line["sketch_error"] = step.sketch_error;
  line["seconds"] = step.seconds;
  line["step_seconds"] = step.step_seconds;
  return line;
}

MeasuredStep step_of(const Json& line) {
  MeasuredStep step;
  step.step = line.at("step");
  const std::string space = line.at("space");
  step.space = space == "mixed" ? GradientSpace::mixed : GradientSpace::skill;
  step.tasks = line.at("tasks");
  step.window_measurements = line.at("window_measurements");
  step.groups.push_back(group_of(line, "all", "all"));
  for (const Json& group : line.at("groups")) step.groups.push_back(group_of(group, group.at("by"), group.at("name")));
  for (const Json& cosine : line.at("sites")) step.site_cosines.push_back(number_of(cosine));
  step.sketch_dims = line.at("sketch_dims");
  step.sketch_error = number_of(line.at("sketch_error"));
  step.seconds = line.at("seconds");
  step.step_seconds = line.at("step_seconds");
  return step;
}

fs::path lines_path(const fs::path& folder) { return folder / "alignment.jsonl"; }

}  // namespace

void append_step(const fs::path& folder, const MeasuredStep& step) {
  append_json_line(lines_path(folder), line_of(step));
}

std::vector<MeasuredStep> read_steps(const fs::path& folder) {
  std::vector<MeasuredStep> steps;
  read_json_lines(lines_path(folder), "alignment", [&](const Json& line) { steps.push_back(step_of(line)); });
  return steps;
}

void truncate_steps(const fs::path& folder, int64_t step) {
  truncate_json_lines(lines_path(folder), "alignment", step);
}

}  // namespace gaggle
