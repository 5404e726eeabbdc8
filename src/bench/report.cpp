#include "bench/report.h"

#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/names.h"
#include "base/table.h"
#include "base/terminal.h"
#include "doctor/report.h"

namespace gaggle {
namespace {

constexpr const char* form = "gaggle bench 1";

nlohmann::ordered_json line_json(const BenchLine& line) {
  nlohmann::ordered_json json = {{"group", line.group},
                                 {"name", line.name},
                                 {"seconds", line.seconds.median},
                                 {"seconds_deviation", line.seconds.deviation},
                                 {"flop", line.flop},
                                 {"bytes", line.bytes}};
  if (line.tokens > 0) json["tokens"] = line.tokens, json["tokens_per_s"] = line.tokens / line.seconds.median;
  if (line.share.median > 0)
    json["share_of_roofline"] = line.share.median, json["share_of_roofline_deviation"] = line.share.deviation;
  return json;
}

BenchLine line_of(const nlohmann::ordered_json& json) {
  const auto optional = [&](const char* name) { return json.value(name, 0.0); };
  return {json.at("group"),
          json.at("name"),
          json.at("flop"),
          json.at("bytes"),
          optional("tokens"),
          {json.at("seconds"), json.at("seconds_deviation")},
          {optional("share_of_roofline"), optional("share_of_roofline_deviation")}};
}

std::string percent_text(double share) { return fmt::format("{:.{}f}%", 100 * share, share < 0.0995 ? 1 : 0); }

std::vector<Cell> cells_of(const BenchLine& line, const MachineRates& rates) {
  const double seconds = line.seconds.median;
  const bool bound = line.share.median > 0;
  const bool by_products = line.flop / rates.flop_per_s >= line.bytes / rates.bytes_per_s;
  return {line.name,
          duration_text(seconds),
          percent_text(line.seconds.deviation / seconds),
          line.flop > 0 ? count_text(line.flop / seconds) : "-",
          line.bytes > 0 ? count_text(line.bytes / seconds) : "-",
          line.tokens > 0 ? with_commas(std::llround(line.tokens / seconds)) : "-",
          bound ? percent_text(line.share.median) : "-",
          !bound        ? ""
          : by_products ? "GEMM"
                        : "memory"};
}

Page group_table(const BenchResult& result, const std::string& group, const BenchComparison* comparison) {
  std::vector<std::string> header = {group, "time", "±", "FLOP/s", "bytes/s", "tokens/s", "share", "of"};
  if (comparison) header.insert(header.end(), {"change", "verdict"});
  Table table(header);
  for (const BenchLine& line : result.lines) {
    if (line.group != group) continue;
    std::vector<Cell> cells = cells_of(line, result.rates);
    if (comparison) {
      const ComparedLine& compared = comparison->lines.at(line.name);
      cells.insert(cells.end(), {compared.change, compared.word});
    }
    table.add(cells);
  }
  return Page("\n") + std::move(table);
}

std::string comparison_line(const BenchComparison& comparison) {
  std::string text = comparison.by_seconds
                         ? "\ncompared by time: the machine is the same\n"
                         : "\ncompared by shares of the roofline: the other file is of another machine\n";
  if (!comparison.gone.empty()) text += "not measured now: " + shown(join(comparison.gone, ", "), 1000) + "\n";
  return text;
}

}  // namespace

std::string bench_json(const BenchResult& result) {
  nlohmann::ordered_json json = {{"form", form},
                                 {"machine", result.machine},
                                 {"subject", result.subject},
                                 {"repeats", result.repeats},
                                 {"gemm_flop_per_s", result.rates.flop_per_s},
                                 {"memory_bytes_per_s", result.rates.bytes_per_s},
                                 {"lines", nlohmann::ordered_json::array()}};
  for (const BenchLine& line : result.lines) json["lines"].push_back(line_json(line));
  return json.dump(2) + "\n";
}

BenchResult bench_result_of(const std::string& text, const std::string& where) {
  try {
    const auto json = parse_json<nlohmann::ordered_json>(text);
    if (json.at("form") != form) throw JsonError("its form is " + json.at("form").dump(), 0);
    BenchResult result{json.at("machine"),
                       json.at("subject"),
                       json.at("repeats"),
                       {json.at("gemm_flop_per_s"), json.at("memory_bytes_per_s")},
                       {}};
    for (const auto& line : json.at("lines")) result.lines.push_back(line_of(line));
    return result;
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: {}; expected a file that gaggle bench --json has written", where, shown(json_reason(error)));
  }
}

Page bench_page(const BenchResult& result, const BenchComparison* comparison) {
  std::vector<std::string> groups;
  for (const BenchLine& line : result.lines)
    if (groups.empty() || groups.back() != line.group) groups.push_back(line.group);
  Page page;
  for (const std::string& group : groups) page += group_table(result, group, comparison);
  if (comparison) page += comparison_line(*comparison);
  return page + glossary_line();
}

}  // namespace gaggle
