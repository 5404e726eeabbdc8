#include "comm/record_file.h"

#include <mutex>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/pulse.h"

namespace gaggle {
namespace {

std::mutex folder_mutex;
fs::path folder;

nlohmann::ordered_json entry_json(const CollectiveEntry& entry, double now) {
  nlohmann::ordered_json json = {{"group", entry.group},
                                 {"number", entry.number},
                                 {"verb", entry.verb},
                                 {"bytes", entry.bytes},
                                 {"phase", entry.phase},
                                 {"step", entry.step},
                                 {"started_s", entry.started - now}};
  if (entry.took >= 0) json["took_s"] = entry.took;
  return json;
}

}  // namespace

fs::path records_of(const fs::path& run_folder) { return run_folder / "collectives"; }

void set_record_folder(const fs::path& run_folder) {
  const std::lock_guard lock(folder_mutex);
  folder = run_folder;
}

void forget_records(const fs::path& run_folder) {
  std::error_code ignored;
  fs::remove_all(records_of(run_folder), ignored);
}

void write_record_file(const RankRecord& record, int rank, int size, const std::string& reason) {
  const std::lock_guard lock(folder_mutex);
  if (folder.empty()) return;
  const double now = monotonic_seconds();
  const Pulse pulse = current_pulse();
  nlohmann::ordered_json json = {{"rank", rank},
                                 {"size", size},
                                 {"host", this_process().host},
                                 {"reason", reason},
                                 {"phase", pulse.phase},
                                 {"step", pulse.step},
                                 {"utc", utc_now()},
                                 {"collectives", nlohmann::json::array()}};
  for (const CollectiveEntry& entry : record.entries()) json["collectives"].push_back(entry_json(entry, now));
  try {
    fs::create_directories(records_of(folder));
    write_file_atomic(records_of(folder) / fmt::format("rank-{}.json", rank),
                      json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  } catch (const std::exception& error) {
    log::warning("the record of collectives was not written: {}", error.what());
  }
}

}  // namespace gaggle
