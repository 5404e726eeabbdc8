#include "base/control_group.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>

namespace gaggle {
namespace {

namespace fs = std::filesystem;

// "max", which is version 2's word for none, is no number.
std::optional<uint64_t> number_in(const fs::path& file) {
  uint64_t number = 0;
  if (std::ifstream in(file); in >> number) return number;
  return std::nullopt;
}

// Of a file of lines "NAME VALUE"; 0: it is not there.
uint64_t value_in(const fs::path& file, const std::string& name) {
  std::ifstream in(file);
  std::string word, rest;
  for (uint64_t value = 0; in >> word; std::getline(in, rest))
    if (word == name && in >> value) return value;
  return 0;
}

// Version 1 writes no limit as a number beyond all memory, and its own counts of a group without those below it beside
// the totals.
void bind(HostMemory& memory, const fs::path& group) {
  const bool second = fs::exists(group / "memory.max");
  const auto most = number_in(group / (second ? "memory.max" : "memory.limit_in_bytes"));
  const auto used = number_in(group / (second ? "memory.current" : "memory.usage_in_bytes"));
  if (!most || !used) return;
  const std::string total = second ? "" : "total_";
  const uint64_t cache =
      value_in(group / "memory.stat", total + "inactive_file") + value_in(group / "memory.stat", total + "active_file");
  const uint64_t held = *used - std::min(*used, cache);
  memory.all = std::min(memory.all, *most);
  memory.available = std::min(memory.available, *most - std::min(*most, held));
}

}  // namespace

// Lines of the membership file are "ID:CONTROLLERS:PATH", without controllers in version 2. A group is bound by all
// groups above it too. In a container the path may be the host's, which is not there: then the root is the container's
// own group.
std::vector<fs::path> groups_of(std::string_view controller, const ControlGroups& groups) {
  std::vector<fs::path> found = {groups.root, groups.root / controller};
  std::ifstream file(groups.membership);
  const std::string wanted = "," + std::string(controller) + ",";
  for (std::string id, controllers, path;
       std::getline(file, id, ':') && std::getline(file, controllers, ':') && std::getline(file, path);) {
    if (!controllers.empty() && ("," + controllers + ",").find(wanted) == std::string::npos) continue;
    const fs::path hierarchy = controllers.empty() ? groups.root : groups.root / controllers;
    found.push_back(hierarchy);
    for (fs::path group = fs::path(path).relative_path(); !group.empty(); group = group.parent_path())
      found.push_back(hierarchy / group);
  }
  return found;
}

HostMemory host_memory(const ControlGroups& groups, const fs::path& meminfo) {
  HostMemory memory{1024 * value_in(meminfo, "MemTotal:"), 1024 * value_in(meminfo, "MemAvailable:")};
  if (memory.all == 0) return memory;
  for (const fs::path& group : groups_of("memory", groups)) bind(memory, group);
  return memory;
}

}  // namespace gaggle
