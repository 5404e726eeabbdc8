#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

#include "kernel/cuda_kernels.h"

namespace gaggle {

void device_name_cuda(int device, char* name, int size) {
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, device) == cudaSuccess)
    std::snprintf(name, static_cast<size_t>(size), "%s", properties.name);
}

void device_uuid_cuda(int device, unsigned char* uuid) {
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, device) == cudaSuccess) std::memcpy(uuid, properties.uuid.bytes, 16);
}

}  // namespace gaggle
