// What stands on what: the experts a collection pins, each with the digests of its files at that time, and the
// routing rows of an inventory.
#pragma once

#include <string>
#include <vector>

#include "registry/layout.h"
#include "registry/registry.h"

namespace gaggle {

struct PinnedExpert {
  Pin pin;
  std::string lora_sha256, gate_sha256;  // gate "": ungated
};

// The expert as it is now.
PinnedExpert pin_of(const Version& expert);
// collection.json of a collection's version, in the pinned order. Throws UserError naming the file.
std::vector<PinnedExpert> read_pins(const Version& collection);
// "name@version" of the collections that pin any version of the expert, or of the routing rows whose parent is
// any version of the inventory.
std::vector<std::string> holders_of(const Registry& registry, const Version& version);

}  // namespace gaggle
