// What this host gives to this process: processor, cores, memory, limits.
#pragma once

#include <cstdint>
#include <limits>
#include <set>
#include <string>

namespace gaggle {

constexpr uint64_t no_limit = std::numeric_limits<uint64_t>::max();

struct HostFacts {
  std::string host;
  std::string kernel;                              // "Linux 6.1.0"
  std::string processor;                           // "Intel(R) Xeon(R) …"
  int cores = 1;                                   // of the host
  int allowed_cores = 1;                           // in this process' affinity mask
  std::string mask;                                // "0-3,8"
  uint64_t memory_bytes = 0, available_bytes = 0;  // the smaller of the host's and the cgroup's
  uint64_t open_files = no_limit;                  // soft limits of this process
  uint64_t locked_bytes = no_limit;
  bool infiniband = false;  // there is such a device: its messages want locked memory
  std::string temporary;    // TMPDIR or /tmp: where MPI keeps its session
  uint64_t temporary_free_bytes = 0;
  uint64_t shared_memory_free_bytes = 0;  // /dev/shm: how ranks of a host talk
};

HostFacts host_facts();

std::set<int> allowed_core_numbers();  // of the affinity mask

// /proc/cpuinfo names the model on x86; elsewhere the architecture has to do.
std::string processor_name();

std::string ranges_text(const std::set<int>& numbers);  // {0, 1, 2, 8} → "0-2,8"

}  // namespace gaggle
