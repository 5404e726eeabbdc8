// gaggle doctor: is this machine, are these hosts and folders fit for a run? Measures for seconds, changes nothing.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "config/config.h"

namespace gaggle {

struct Examination {
  std::string title;                 // the report's first line
  const Config* config = nullptr;    // whose folders are looked at; null: none was given
  std::vector<std::string> folders;  // looked at besides the config's; they exist
  int64_t megabytes = 64;            // written and read by one rank of each host, per folder
};

// Collective over the ranks of the launcher; the first prints one report, block by block. Exit::failed where
// something is missing that gaggle needs.
Exit examine(const Examination& what);

}  // namespace gaggle
