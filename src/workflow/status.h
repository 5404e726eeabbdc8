// Where work goes on below a path: which jobs of which kind, each with a reader of its state.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "coordinator/status.h"

namespace gaggle {

struct WorkPlace {
  std::string kind;  // Job::kind
  std::unique_ptr<StatusReader> reader;
};

// `path`: a registry or a run folder. Reads files alone. Throws UserError: it is neither.
std::vector<WorkPlace> work_places(const std::filesystem::path& path);

}  // namespace gaggle
