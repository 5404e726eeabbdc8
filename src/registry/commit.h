// What commits of every kind share.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "formats/tensor.h"
#include "registry/kind.h"
#include "registry/stage.h"

namespace gaggle {

// A safetensors file of them, in order of name.
std::string file_bytes(const std::vector<NamedTensor>& tensors);
// Every tensor of a safetensors file.
std::vector<NamedTensor> tensors_of(const std::filesystem::path& file);

// Writes the sums and commits the stage as the next version of `name`, or finds it there: by its key, and where
// there is none (imported) by its files and its tasks. Returns the version.
std::string commit_stage(Stage& stage, const std::filesystem::path& registry, Kind kind,
                         const std::string& name, const std::string& key);

}  // namespace gaggle
