// What this program was built with.
#pragma once

#include <string>

namespace gaggle {

// Of the toolkit that the CUDA kernels were compiled with, "12.8.93"; "": built without CUDA.
std::string cuda_version();

}  // namespace gaggle
