// A made /sys/fs/cgroup and /proc/self/cgroup.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/control_group.h"

namespace gaggle::test {

struct MadeGroups {
  std::filesystem::path root = std::filesystem::temp_directory_path() / ("gaggle_groups_" + std::to_string(::getpid()));
  MadeGroups() { std::filesystem::remove_all(root); }
  ~MadeGroups() { std::filesystem::remove_all(root); }
  void write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text;
  }
  ControlGroups groups() const { return {root, root / "membership"}; }
};

}  // namespace gaggle::test
