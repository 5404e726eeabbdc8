// What the methods poly, mu, shared and z put on the sites: an inventory of the registry, or a stored routing
// row over its parent's skills. Each comes down to one fixed LoRA (of poly: one per task).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "library/inventory.h"

namespace gaggle {

using Inventories = std::map<std::string, std::shared_ptr<const Inventory>>;  // by the method: "poly", "z:tomi.z"

// Whether the method ("mu", "z:tomi.z") is of an inventory.
bool needs_inventory(const std::string& method);

// Those of eval.methods that need one. Without a name it is eval.inventory, else what `gaggle pretrain` commits
// under this config. Throws UserError: not there (with the nearest name), no fit for the base, `shared` of
// another inventory, `poly` of a shared one, a routing row whose parent is gone.
Inventories load_inventories(const Config& config, const Registry& registry, const std::vector<Site>& sites);

std::string methods_origin(const Config& config);  // "demo.toml:30:1: eval.methods", for messages

}  // namespace gaggle
