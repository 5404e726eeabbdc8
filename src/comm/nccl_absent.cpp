// Stands in for nccl_cuda.cpp in a program without CUDA: whoever links that file's object never sees this one.
#include "base/error.h"
#include "comm/nccl.h"

namespace gaggle {

int nccl_version() { return 0; }

std::string nccl_complaint() {
  return "this gaggle was built without CUDA and NCCL: build it where nvcc and nccl.h are found, or set "
         "comm.backend = \"mpi\"";
}

NcclTables nccl_tables(int) { user_error("{}", nccl_complaint()); }

}  // namespace gaggle
