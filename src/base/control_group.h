// The control groups of this process, and the memory of its host that they leave to it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace gaggle {

// Where the kernel shows groups, and the file that says which are a process' own: others in tests.
struct ControlGroups {
  std::filesystem::path root = "/sys/fs/cgroup";
  std::filesystem::path membership = "/proc/self/cgroup";
};

// The folders of this process' groups that a controller ("cpu", "memory") may bind it in, of version 2 and version 1,
// and of all groups above them: the tightest counts.
std::vector<std::filesystem::path> groups_of(std::string_view controller, const ControlGroups& groups);

// In bytes: the host's, or the smaller share that a group gives. Pages that the kernel only keeps as a cache are free.
struct HostMemory {
  uint64_t all = 0, available = 0;  // all 0: not known
};
HostMemory host_memory(const ControlGroups& groups = {}, const std::filesystem::path& meminfo = "/proc/meminfo");

}  // namespace gaggle
