// What the methods poly, mu, shared and z put on the sites: a routed artefact of the registry, or a stored row
// over its parent's skills. Each comes down to one fixed LoRA (of poly: one per task).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapter/inventory.h"
#include "config/config.h"
#include "registry/registry.h"

namespace gaggle {

struct Artefact {
  Inventory inventory;                  // of a row: one task, the row in place of the table
  std::string row;                      // "tomi-z@v0001"; "": none
  std::vector<std::string> trained_on;  // tasks that the skills were pretrained on
  std::string digest;                   // of the version's files; a row's names its parent's
  std::string pin() const;              // of the row, else of the artefact: "mhr-demo@v0001"
  std::string description() const;      // "mhr-demo@v0001   mhr, 12 tasks, 8 skills, 8 heads", for people
};

using Artefacts = std::map<std::string, std::shared_ptr<const Artefact>>;  // by the method: "poly", "z:tomi-z"

// Whether the method ("mu", "z:tomi-z") is of a routed artefact.
bool needs_artefact(const std::string& method);

// Those of eval.methods that need one. Without a name it is eval.inventory, else what `gaggle pretrain` commits
// under this config. Throws UserError: not there (with the nearest name), no fit for the base, `shared` of
// another artefact, `poly` of a shared one, a row whose parent is gone.
Artefacts load_artefacts(const Config& config, const Registry& registry, const std::vector<Site>& sites);

std::string methods_origin(const Config& config);  // "demo.toml:30:1: eval.methods", for messages

}  // namespace gaggle
