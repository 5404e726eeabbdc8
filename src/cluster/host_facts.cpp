#include "cluster/host_facts.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/process.h"
#include "cluster/identity.h"

namespace gaggle {
namespace fs = std::filesystem;
namespace {

uint64_t soft_limit(auto resource) {
  rlimit found{};
  if (::getrlimit(resource, &found) != 0 || found.rlim_cur == RLIM_INFINITY) return no_limit;
  return found.rlim_cur;
}

uint64_t free_bytes(const std::string& folder) {
  struct statvfs info {};
  return ::statvfs(folder.c_str(), &info) == 0 ? uint64_t{info.f_bavail} * info.f_frsize : 0;
}

// "MemAvailable:   123 kB" of /proc/meminfo.
uint64_t meminfo(const std::string& name) {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":")) return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
  return 0;
}

uint64_t number_in(const char* path, uint64_t otherwise) {
  std::ifstream file(path);
  uint64_t number = 0;
  return file >> number ? number : otherwise;  // "max" is no number
}

}  // namespace

std::set<int> allowed_core_numbers() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  std::set<int> cores;
  if (::sched_getaffinity(0, sizeof mask, &mask) == 0)
    for (int core = 0; core < CPU_SETSIZE; ++core)
      if (CPU_ISSET(core, &mask)) cores.insert(core);
  return cores;
}

std::string ranges_text(const std::set<int>& numbers) {
  std::string text;
  for (auto at = numbers.begin(); at != numbers.end();) {
    const int first = *at;
    int last = first;
    while (++at != numbers.end() && *at == last + 1) last = *at;
    text += fmt::format("{}{}", text.empty() ? "" : ",", first);
    if (last > first) text += fmt::format("-{}", last);
  }
  return text;
}

std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);)
    if (line.starts_with("model name"))
      if (const size_t colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
  utsname machine{};
  return ::uname(&machine) == 0 ? machine.machine : "unknown";
}

HostFacts host_facts() {
  HostFacts facts;
  facts.host = this_process().host;
  utsname system{};
  if (::uname(&system) == 0) facts.kernel = fmt::format("{} {}", system.sysname, system.release);
  facts.processor = processor_name();
  facts.cores = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  facts.allowed_cores = affinity_cores();
  facts.mask = ranges_text(allowed_core_numbers());
  const uint64_t group_most = number_in("/sys/fs/cgroup/memory.max", no_limit);
  const uint64_t group_used = number_in("/sys/fs/cgroup/memory.current", 0);
  facts.memory_bytes = std::min(meminfo("MemTotal"), group_most);
  facts.available_bytes =
      std::min(meminfo("MemAvailable"),
               group_most == no_limit ? no_limit : group_most - std::min(group_most, group_used));
  facts.open_files = soft_limit(RLIMIT_NOFILE);
  facts.locked_bytes = soft_limit(RLIMIT_MEMLOCK);
  std::error_code none;
  facts.infiniband = fs::exists("/sys/class/infiniband", none) && !fs::is_empty("/sys/class/infiniband", none);
  const char* temporary = std::getenv("TMPDIR");
  facts.temporary = temporary && *temporary ? temporary : "/tmp";
  facts.temporary_free_bytes = free_bytes(facts.temporary);
  facts.shared_memory_free_bytes = free_bytes("/dev/shm");
  return facts;
}

}  // namespace gaggle
