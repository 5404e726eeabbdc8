// What `gaggle --version` prints.
#pragma once

#include <string>

namespace gaggle {

// The program, LibTorch, MPI, CUDA and NCCL, each with its version or that it is not built in, and on which kinds of
// processors it is fast, this one's first.
std::string version_block();

}  // namespace gaggle
