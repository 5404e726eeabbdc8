// The experts a collection pins, each with the digests of its files at that time.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "registry/layout.h"

namespace gaggle {

struct PinnedExpert {
  Pin pin;
  std::string lora_sha256, gate_sha256;  // gate "": ungated
};

// collection.json of a collection's version. Throws UserError naming the file.
std::vector<PinnedExpert> read_pins(const std::filesystem::path& version_folder);
// "name@version" of the collections that pin any version of the expert.
std::vector<std::string> pinned_by(const std::filesystem::path& registry, const std::string& expert);

}  // namespace gaggle
