#include "alignment/routing_record.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json_lines.h"
#include "base/table.h"

namespace gaggle {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t steps_shown = 6;
constexpr int64_t most_weights = 1 << 16;  // of a line: half a megabyte

fs::path path_in(const fs::path& run_folder) { return run_folder / "routing.jsonl"; }

Json json_of(std::span<const RoutingNumbers> all) {
  Json json = Json::object();
  for (const RoutingNumbers& numbers : all)
    for (const RoutingField& field : routing_fields) json[numbers.name][field.name] = numbers.*field.value;
  return json;
}

// Weights [T][heads · skills] by site, in three digits; of a large table those of some sites, evenly spaced.
Json weights_json(std::span<const RoutingSite> sites) {
  int64_t values = 0;
  for (const RoutingSite& site : sites) values += site.logits.numel();
  const auto stride = static_cast<size_t>((values + most_weights - 1) / most_weights);
  Json json = Json::object();
  for (size_t s = 0; s < sites.size(); s += std::max<size_t>(1, stride)) {
    const at::Tensor weights = routing_weights(sites[s]).flatten(1).contiguous();
    Json& rows = json[sites[s].name] = Json::array();
    for (int64_t task = 0; task < weights.size(0); ++task) {
      Json& row = rows.emplace_back(Json::array());
      for (int64_t k = 0; k < weights.size(1); ++k)
        row.push_back(std::round(weights.data_ptr<double>()[task * weights.size(1) + k] * 1e3) / 1e3);
    }
  }
  return json;
}

}  // namespace

std::vector<RoutingNumbers> record_routing(const fs::path& run_folder, int64_t step,
                                           std::span<const RoutingSite> sites) {
  const std::vector<RoutingNumbers> by_site = routing_by_site(sites);
  std::vector<RoutingNumbers> by_kind = routing_by_kind(sites, by_site);
  append_json_line(
      path_in(run_folder),
      {{"step", step}, {"kinds", json_of(by_kind)}, {"sites", json_of(by_site)}, {"weights", weights_json(sites)}});
  return by_kind;
}

void truncate_routing(const fs::path& run_folder, int64_t step) {
  truncate_json_lines(path_in(run_folder), "the routing table over training", step);
}

std::vector<RoutingStep> read_routing(const fs::path& run_folder) {
  std::vector<RoutingStep> steps;
  read_json_lines(path_in(run_folder), "the routing table over training", [&](const Json& line) {
    RoutingStep& step = steps.emplace_back();
    step.step = line.at("step");
    for (const auto& [kind, values] : line.at("kinds").items()) {
      RoutingNumbers& numbers = step.by_kind.emplace_back();
      numbers.name = kind;
      for (const RoutingField& field : routing_fields) numbers.*field.value = values.at(field.name);
    }
  });
  return steps;
}

Table routing_over_training_table(std::span<const RoutingStep> steps) {
  Table table(routing_heading("after step"));
  const size_t lines = std::min(steps.size(), steps_shown);
  for (size_t i = 0; i < lines; ++i) {
    const RoutingStep& step = steps[lines == 1 ? 0 : i * (steps.size() - 1) / (lines - 1)];
    table.add(routing_cells(std::to_string(step.step), step.by_kind.back()));
  }
  return table;
}

}  // namespace gaggle
