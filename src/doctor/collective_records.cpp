#include "doctor/collective_records.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "comm/record_file.h"

namespace gaggle {
namespace {

RankReport report_of(const nlohmann::json& json) {
  RankReport report{json.at("rank"),   json.at("size"),  json.at("host"),
                    json.at("reason"), json.at("phase"), json.at("step")};
  for (const auto& entry : json.at("collectives"))
    report.collectives.push_back({entry.at("group"), entry.at("verb"), entry.at("number"), entry.at("bytes"),
                                  entry.at("phase"), entry.at("step"), entry.at("started_s"),
                                  entry.value("took_s", -1.0)});
  return report;
}

using Place = std::pair<std::string, uint64_t>;  // group, number

std::string verb_of(const CollectiveEntry& entry) {
  // In the other verbs every rank has a share of another size.
  const bool equal_sizes = entry.verb == "all_gather" || entry.verb == "broadcast";
  return equal_sizes ? fmt::format("{} of {} bytes", entry.verb, entry.bytes) : entry.verb;
}

std::vector<int> silent_ranks(const std::vector<RankReport>& reports) {
  std::vector<int> silent;
  for (int rank = 0; rank < reports.front().size; ++rank)
    if (std::ranges::find(reports, rank, &RankReport::rank) == reports.end()) silent.push_back(rank);
  return silent;
}

// "" where all ranks called alike.
std::string first_difference(const std::vector<RankReport>& reports) {
  std::map<Place, std::map<std::string, std::vector<int>>> calls;
  for (const RankReport& report : reports)
    for (const CollectiveEntry& entry : report.collectives)
      calls[{entry.group, entry.number}][verb_of(entry)].push_back(report.rank);
  const std::pair<const Place, std::map<std::string, std::vector<int>>>* first = nullptr;
  for (const auto& call : calls)
    if (call.second.size() > 1 && (!first || call.first.second < first->first.second)) first = &call;
  if (!first) return "";
  std::vector<std::string> parts;
  for (const auto& [verb, ranks] : first->second) parts.push_back(fmt::format("{} called {}", ranks_text(ranks), verb));
  return fmt::format("The ranks parted at collective {} of {}: {}.\n", first->first.second, first->first.first,
                     fmt::join(parts, ", "));
}

std::string place_of(const RankReport& report) { return fmt::format("{} step {}", report.phase, report.step); }

std::string last_of(const RankReport& report) {
  if (report.collectives.empty()) return "it had not been in any collective";
  const CollectiveEntry& last = report.collectives.back();
  return fmt::format("its last was {}, finished {:.1f} s before the end",
                     collective_text(last.verb, last.number, last.group), -(last.started + last.took));
}

}  // namespace

std::vector<RankReport> read_rank_reports(const fs::path& run_folder) {
  std::vector<RankReport> reports;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(records_of(run_folder), missing)) {
    if (entry.path().extension() != ".json") continue;
    try {
      reports.push_back(report_of(parse_json(read_file(entry.path()))));
    } catch (const nlohmann::json::exception& error) {
      user_error("{}: not a record of collectives ({})", entry.path().string(), error.what());
    }
  }
  std::ranges::sort(reports, {}, &RankReport::rank);
  return reports;
}

std::string divergence_block(const std::vector<RankReport>& reports) {
  std::string text;
  if (const auto silent = silent_ranks(reports); !silent.empty())
    text += fmt::format("{} left no record: killed, stopped or cut off before it could write. Look there first.\n",
                        ranks_text(silent));
  text += first_difference(reports);
  std::map<std::string, std::vector<int>> waiting;
  std::set<Place> waited_for;
  for (const RankReport& report : reports) {
    const auto open = std::ranges::find_if(report.collectives, [](const auto& entry) { return entry.took < 0; });
    if (open == report.collectives.end()) {
      text += fmt::format("rank {} on host {} was not in a collective: {}; {}.\n", report.rank, report.host,
                          place_of(report), last_of(report));
      continue;
    }
    waited_for.insert({open->group, open->number});
    waiting[fmt::format("waited in {}, {}, for {:.0f} s", collective_text(open->verb, open->number, open->group),
                        place_of(report), -open->started)]
        .push_back(report.rank);
  }
  for (const auto& [what, ranks] : waiting) text += fmt::format("{} {}.\n", ranks_text(ranks), what);
  const bool all_there = waited_for.size() == 1 && static_cast<int>(reports.size()) == reports.front().size &&
                         waiting.begin()->second.size() == reports.size();
  if (all_there) text += "All ranks were in the same collective: the network between them did not move.\n";
  return text;
}

std::string collective_records_block(const fs::path& run_folder) {
  const auto reports = read_rank_reports(run_folder);
  return reports.empty() ? fmt::format("no records of collectives in {}\n", run_folder.string())
                         : divergence_block(reports);
}

}  // namespace gaggle
