// Squared norms on the GPU: one block a part.
#include "kernel/cuda_kernels.h"
#include "kernel/device.cuh"

namespace gaggle {
namespace {

using device::threads;

__global__ void one_part(const float* values, const int64_t* starts, double* sums) {
  double sum = 0;
  for (int64_t i = starts[blockIdx.x] + threadIdx.x; i < starts[blockIdx.x + 1]; i += threads)
    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  sum = device::block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

}  // namespace

void squared_norms_cuda(const float* values, const int64_t* starts, double* sums, int64_t parts, void* stream) {
  if (parts > 0) device::launch(one_part, static_cast<unsigned>(parts), stream, values, starts, sums);
}

}  // namespace gaggle
