#include "cluster/cores.h"

#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "base/table.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

// In cores; 0: none, which version 2 writes as "max" and version 1 as -1.
double quota_in(const fs::path& group) {
  double quota = 0, period = 0;
  if (std::ifstream file(group / "cpu.max"); !(file >> quota >> period)) {
    quota = period = 0;
    std::ifstream(group / "cpu.cfs_quota_us") >> quota;
    std::ifstream(group / "cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

}  // namespace

std::set<int> allowed_core_numbers() {
  // The kernel refuses a mask that is too small for its host.
  for (size_t sets = 1; sets <= 1024; sets *= 2) {
    std::vector<cpu_set_t> mask(sets);
    const size_t bytes = sets * sizeof(cpu_set_t);
    if (::sched_getaffinity(0, bytes, mask.data()) != 0) continue;
    std::set<int> cores;
    for (size_t core = 0; core < 8 * bytes; ++core)
      if (CPU_ISSET_S(core, bytes, mask.data())) cores.insert(static_cast<int>(core));
    return cores;
  }
  return {};
}

int affinity_cores() { return std::max(1, static_cast<int>(allowed_core_numbers().size())); }

int CpuQuota::cores_each(int sharers, int otherwise) const {
  return cores > 0 ? std::max(1, static_cast<int>(std::min(cores / std::max(1, sharers), 1e6))) : otherwise;
}

CpuQuota cpu_quota(const ControlGroups& groups) {
  CpuQuota least;
  for (const fs::path& group : groups_of("cpu", groups))
    if (const double cores = quota_in(group); cores > 0 && (least.cores == 0 || cores < least.cores))
      least = {cores, group.string()};
  return least;
}

int usable_cores() { return std::min(affinity_cores(), cpu_quota().cores_each(1, affinity_cores())); }

std::string HostLoad::text() const { return fmt::format("load {:.1f} on {}", threads, plural(cores, "core")); }

HostLoad host_load() {
  HostLoad load{0, static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN))};
  if (::getloadavg(&load.threads, 1) != 1) load.threads = 0;
  return load;
}

std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);)
    if (line.starts_with("model name"))
      if (const size_t colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
  utsname machine{};
  return ::uname(&machine) == 0 ? machine.machine : "unknown";
}

}  // namespace gaggle
