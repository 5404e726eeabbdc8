// What torch.save's data.pkl says of a dictionary of tensors, read by a small machine for the opcodes that such a
// pickle is made of (Python's pickletools, protocols 2 to 4): it knows tensors, storages and ordered
// dictionaries, and calls nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/tensor.h"

namespace gaggle {

// The texts point into the pickle: a hostile one may use one long text for many tensors.
struct PickledTensor {
  std::string_view name;     // its key in the dictionary
  std::string_view storage;  // names the entry "…/data/<storage>"
  DType dtype = DType::f32;
  int64_t storage_count = 0, offset = 0;  // values
  std::vector<int64_t> shape, stride;
};

// In the dictionary's order. Throws UserError naming `file`: anything that would be called or imported besides,
// by its name; opcodes that no state dictionary has; what is torn; values that are no tensors; pickles and
// shapes beyond the size of any model's.
std::vector<PickledTensor> read_pickled_tensors(std::span<const std::byte> pickle, const std::string& file);

}  // namespace gaggle
