// The records of collectives that a hung run left in its run folder (comm/record_file.h), read together: which
// rank did not come, and where the ranks parted.
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
  std::vector<CollectiveEntry> collectives = {};  // oldest first; `started` counts back from the end of the job, ≤ 0
};

// All reports of a run folder in order of rank; none where there are none. Throws UserError for a file that is
// not one.
std::vector<RankReport> read_rank_reports(const std::filesystem::path& run_folder);

// In sentences, one a line: who left no record; the first collective in which ranks called different verbs, or
// gave different sizes where all must be equal; who waits in what, and where those are who never came.
// `reports`: at least one.
std::string divergence_block(const std::vector<RankReport>& reports);

// The divergence of a run folder's reports; "no records of collectives in PATH" where there are none.
std::string collective_records_block(const std::filesystem::path& run_folder);

}  // namespace gaggle
