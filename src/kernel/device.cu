#include <cuda_runtime.h>

#include <cstdio>
#include <string>

#include "kernel/cuda_kernels.h"

namespace gaggle {

std::vector<GpuFacts> gpus_cuda() {
  int count = 0;
  std::vector<GpuFacts> all;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return all;
  for (int device = 0; device < count; ++device) {
    cudaDeviceProp found;
    if (cudaGetDeviceProperties(&found, device) != cudaSuccess) continue;
    GpuFacts gpu;
    gpu.name = found.name;
    gpu.memory_bytes = found.totalGlobalMem;
    gpu.computes = std::to_string(found.major) + "." + std::to_string(found.minor);
    char text[32];
    std::snprintf(text, sizeof text, "%04x:%02x:%02x", found.pciDomainID, found.pciBusID, found.pciDeviceID);
    gpu.pci = text;
    gpu.uuid = "GPU-";
    for (int i = 0; i < 16; ++i) {
      std::snprintf(text, sizeof text, "%02x", static_cast<unsigned char>(found.uuid.bytes[i]));
      gpu.uuid += text;
      if (i == 3 || i == 5 || i == 7 || i == 9) gpu.uuid += "-";
    }
    all.push_back(gpu);
  }
  return all;
}

GpuLink gpu_link_cuda(int a, int b) {
  int direct = 0, atomics = 0;
  if (cudaDeviceCanAccessPeer(&direct, a, b) != cudaSuccess || !direct) return GpuLink::through_host;
  cudaDeviceGetP2PAttribute(&atomics, cudaDevP2PAttrNativeAtomicSupported, a, b);
  return atomics ? GpuLink::nvlink : GpuLink::pcie;
}

}  // namespace gaggle
