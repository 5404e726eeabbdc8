// Tensors in a file of the registry's cache (registry/cache.h): sealed safetensors.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "formats/safetensors.h"

namespace gaggle {

struct TensorToKeep {
  std::string name;
  at::Tensor values;  // contiguous fp32 or fp64, on the CPU
};

std::string kept_bytes(const std::vector<TensorToKeep>& tensors, const std::map<std::string, std::string>& metadata);
// What lies in such a file, behind its seal; its tensors lie in the file's memory.
SafetensorsFile kept_tensors(const MappedFile& file);
// One of them in memory of its own.
at::Tensor kept_tensor(const TensorFile& file, const std::string& name);

}  // namespace gaggle
