// What `gaggle registry` can be asked to do, one verb each; they print what they did.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace gaggle {

struct RegistryRequest {
  std::string action;                  // ls | show | verify | import | export | collect | rm
  std::filesystem::path registry;      // --registry, default "registry"
  std::vector<std::string> arguments;  // names or folders
  std::string base;                    // --base: model path; imported adapters are checked against it
  std::string to;                      // --to: where export writes
  bool mu = false;                     // --mu: export the averaged skills of an inventory
  std::string task;                    // --task: export this task's mixture of an inventory's skills
  std::vector<std::string> add, drop;  // --add, --drop: what collect changes in a collection
  std::vector<std::string> only;       // --only: what it pins alone
  bool fold_scale = false;             // --fold-scale: export a LoRA with its scales in B
  std::string name;                    // --name: of an import of one folder
  bool accept_base = false;
};

// Throws UserError: an unknown verb, arguments that are missing or do not belong to it.
Exit act_on_registry(const RegistryRequest& request);

}  // namespace gaggle
