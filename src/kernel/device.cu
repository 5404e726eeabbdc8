#include <cuda_runtime.h>

#include <cstdio>

#include "kernel/cuda_kernels.h"

namespace gaggle {

void device_name_cuda(int device, char* name, int size) {
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, device) == cudaSuccess)
    std::snprintf(name, static_cast<size_t>(size), "%s", properties.name);
}

}  // namespace gaggle
