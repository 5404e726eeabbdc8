// The record of a rank's last collectives as a file, written when a job is ended for want of progress:
// <run folder>/collectives/rank-N.json.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "comm/record.h"

namespace gaggle {

struct RankReport {
  int rank = 0, size = 1;
  std::string host, reason;  // reason: why the job was ended, as this rank heard it
  std::string phase;         // where its main thread was
  int64_t step = 0;
  std::vector<CollectiveEntry> collectives;  // oldest first; `started` counts back from the end of the job, ≤ 0
};

// Records of this process go there; without it none are written. Throws nothing.
void set_record_folder(const std::filesystem::path& run_folder);
// Removes the records of an earlier start. Throws nothing.
void forget_records(const std::filesystem::path& run_folder);
// Of this process, as it stands. A failure to write is a warning: the job is ending anyway.
void write_record_file(const RankRecord& record, int rank, int size, const std::string& reason);
// All reports of a run folder in order of rank, or none. Throws UserError for a file that is no report.
std::vector<RankReport> read_record_files(const std::filesystem::path& run_folder);

}  // namespace gaggle
