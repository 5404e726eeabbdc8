// What stands on what: the experts a collection pins, each with the digests of its files at that time, and the
// rows of a routed adapter.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "registry/layout.h"
#include "registry/registry.h"

namespace gaggle {

struct PinnedExpert {
  Pin pin;
  std::string lora_sha256, gate_sha256;  // gate "": ungated
};

// collection.json of a collection's version. Throws UserError naming the file.
std::vector<PinnedExpert> read_pins(const std::filesystem::path& version_folder);
// "name@version" of the collections that pin any version of the expert.
std::vector<std::string> pinned_by(const std::filesystem::path& registry, const std::string& expert);
// "name@version" of the rows whose parent is any version of the routed adapter.
std::vector<std::string> rows_of(const Registry& registry, const std::string& routed);

}  // namespace gaggle
