// The record of a rank's last collectives as a file, written when a job is ended for want of progress:
// <run folder>/collectives/rank-N.json. doctor/collective_records.h reads them.
#pragma once

#include <filesystem>
#include <string>

#include "comm/record.h"

namespace gaggle {

std::filesystem::path records_of(const std::filesystem::path& run_folder);

// Records of this process go there; without it none are written. Throws nothing.
void set_record_folder(const std::filesystem::path& run_folder);
// Removes the records of an earlier start. Throws nothing.
void forget_records(const std::filesystem::path& run_folder);
// The record of this process, as it stands. A failure to write is a warning: the job is ending anyway.
void write_record_file(const RankRecord& record, int rank, int size, const std::string& reason);

}  // namespace gaggle
