#include "train/out_of_memory.h"

#include <c10/util/Exception.h>

#include <new>
#include <string_view>

namespace gaggle {

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) || dynamic_cast<const c10::OutOfMemoryError*>(&error)) return true;
  // LibTorch's allocator for the host's memory, and libraries of products, have no type of their own for it.
  const std::string_view text = error.what();
  for (const char* said : {"can't allocate memory", "not enough memory", "out of memory"})
    if (dynamic_cast<const c10::Error*>(&error) && text.find(said) != text.npos) return true;
  return false;
}

}  // namespace gaggle
