// What `gaggle registry` can be asked to do, one verb each; they print what they did.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "registry/export.h"

namespace gaggle {

struct RegistryRequest {
  std::string action;                  // ls | show | verify | import | export | collect | rm
  std::filesystem::path registry;      // --registry, default "registry"
  std::vector<std::string> arguments;  // names or folders
  std::string base;                    // --base: model path; imported adapters are checked against it
  std::vector<std::string> tasks;      // --tasks: names of an imported inventory's tasks
  std::string to;                      // --to: where export writes
  std::string base_path;               // --base-path: what an export calls its base
  bool mu = false;                     // --mu: export the averaged skills of an inventory
  std::string task;                    // --task: export this task's mixture of an inventory's skills
  bool merged = false;                 // --merged: export the mean of a collection's experts
  std::optional<int64_t> rank;         // --rank: of that; 0: its own
  std::vector<std::string> drop;       // --drop: parts that import leaves out, or experts that collect does
  std::vector<std::string> add, only;  // --add, --only: what collect adds to a collection, what it pins alone
  bool fold_scale = false;             // --fold-scale: export a LoRA with its scales in B
  std::string name;                    // --name: of an import of one folder
  bool accept_base = false;
  // What --merged does: library/merged.h, which this room does not see.
  std::function<std::string(const Registry&, const std::string& collection, int64_t rank, const ExportTarget&)>
      export_merged;
};

// Throws UserError: arguments that are missing or do not belong to the verb.
Exit act_on_registry(const RegistryRequest& request);

}  // namespace gaggle
