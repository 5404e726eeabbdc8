#include "cluster/cores.h"

#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <vector>

namespace gaggle {

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

std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);)
    if (line.starts_with("model name"))
      if (const size_t colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
  utsname machine{};
  return ::uname(&machine) == 0 ? machine.machine : "unknown";
}

}  // namespace gaggle
