// What a folder does when ranks use it as gaggle does: leases, commits, replaced files, speed. Measured, then
// judged (folder_verdict.h). Uses the very functions of leases and commits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "comm/communicator.h"
#include "coordinator/lease.h"

namespace gaggle {

// Until every other rank saw what rank 0 did; never: not within the patience.
struct Delay {
  double seconds = 0;
  bool never = false;
};

struct FolderFacts {
  std::filesystem::path folder;
  FileSystem system;
  std::string failed;  // what the first rank could not do, with its host; "": everything was measured
  int ranks = 1, hosts = 1;
  std::vector<std::string> blind_hosts;  // that do not see what rank 0 made: not the same folder there
  uint64_t free_bytes = 0;

  int64_t replaced = 0, reads = 0;               // a file replaced by rename while other ranks read it
  int64_t torn = 0, missing = 0;                 // of the reads
  int create_races = 0, create_races_wrong = 0;  // O_CREAT|O_EXCL: not exactly one winner
  int commit_races = 0, commit_races_wrong = 0;  // a folder renamed onto one name
  bool taken_name_refused = false;
  bool hard_links = false, flock = false, fcntl_locks = false;

  Delay by_name, in_listing;  // a new file, whose name the others had looked up before it was there
  Delay counter;              // a lease's counter, rewritten in place
  double fsync_s = 0, fsync_worst_s = 0;
  double server_clock_s = 0;  // the file server's clock ahead of rank 0's

  // All hosts together, one rank each; with fsync, and not from memory.
  double write_bytes_per_s = 0, read_bytes_per_s = 0;
  double creates_per_s = 0;                  // small files, one rank of each host
  std::vector<double> write_bytes_per_s_of;  // by host
};

struct ProbeOptions {
  int64_t megabytes = 64;  // written and read by one rank of each host
  double patience_s = 3;   // for a change to be seen
  double share_s = 0.4;    // each of the counted trials
};

// Collective; the facts are whole on rank 0. host: this rank's. `folder` must exist; everything that is made
// in it is removed again. With one rank the trials run between two threads.
FolderFacts probe_folder(Communicator& comm, const std::string& host, const std::filesystem::path& folder,
                         const ProbeOptions& options, LeaseFiles& files);

}  // namespace gaggle
