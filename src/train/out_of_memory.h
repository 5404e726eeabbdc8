// Where memory ends while a step is made.
#pragma once

#include <exception>

namespace gaggle {

// Whether it says that an allocation failed, on the GPU or in the host's memory.
bool is_out_of_memory(const std::exception& error);

}  // namespace gaggle
