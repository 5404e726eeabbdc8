// The commands of the program, one file each. Each returns the exit code; mistakes are thrown.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/config.h"
#include "job/job.h"

namespace gaggle {

struct AlignOptions {
  std::vector<std::string> runs;  // run folders
  int64_t examples = 0;  // of each task, in a pass over a checkpoint; 0: what the runs measured themselves
  int64_t step = -1;     // the checkpoint's; -1: the newest
  int64_t pairs = 5;     // shown of the closest and of the most conflicting
};
Exit command_align(const AlignOptions& options);

struct RegistryOptions {
  std::string action;                  // ls | show | verify | import | export | collect | rm
  std::filesystem::path registry;      // --registry, default "registry"
  std::vector<std::string> arguments;  // names or folders
  std::string base;                    // --base: model path; imported adapters are checked against it
  std::string to;                      // --to: where export writes
  bool mu = false;                     // --mu: export the averaged skills of an inventory
  std::string name;                    // --name: of an import of one folder
  bool accept_base = false;
};

struct DoctorOptions {
  std::string where;                 // a config file, a run folder, or "": the machine alone
  std::vector<std::string> folders;  // --folder: looked at besides the config's
  int64_t megabytes = 64;            // --mb: written and read by one rank of each host, per folder
};
Exit command_doctor(const DoctorOptions& options, const std::vector<std::string>& overrides);

}  // namespace gaggle
