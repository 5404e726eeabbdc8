// What torch.save's data.pkl says of a dictionary of tensors. An own small machine for the opcodes that such a
// pickle is made of (Python's pickletools, protocols 2 to 4): it knows tensors, storages and ordered
// dictionaries, and calls nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/tensor.h"

namespace gaggle {

struct PickledTensor {
  std::string name;     // its key in the dictionary
  std::string storage;  // names the entry "…/data/<storage>"
  DType dtype = DType::f32;
  int64_t storage_count = 0, offset = 0;  // values
  std::vector<int64_t> shape, stride;
};

// In the dictionary's order. Throws UserError naming `file`: anything that would be called or imported besides,
// by its name; opcodes that no state dictionary has; what is torn; values that are no tensors.
std::vector<PickledTensor> read_pickled_tensors(std::span<const std::byte> pickle, const std::string& file);

}  // namespace gaggle
