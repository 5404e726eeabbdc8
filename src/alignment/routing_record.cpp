#include "alignment/routing_record.h"

#include <algorithm>

#include "base/error.h"
#include "base/json_lines.h"
#include "base/table.h"

namespace gaggle {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t steps_shown = 6;

fs::path path_in(const fs::path& run_folder) { return run_folder / "routing.jsonl"; }

Json json_of(std::span<const RoutingNumbers> all) {
  Json json = Json::object();
  for (const RoutingNumbers& numbers : all)
    for (const RoutingField& field : routing_fields) json[numbers.name][field.name] = numbers.*field.value;
  return json;
}

}  // namespace

std::vector<RoutingNumbers> record_routing(const fs::path& run_folder, int64_t step,
                                           std::span<const RoutingSite> sites) {
  const std::vector<RoutingNumbers> by_site = routing_by_site(sites);
  std::vector<RoutingNumbers> by_kind = routing_by_kind(sites, by_site);
  append_json_line(path_in(run_folder), {{"step", step}, {"kinds", json_of(by_kind)}, {"sites", json_of(by_site)}});
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
