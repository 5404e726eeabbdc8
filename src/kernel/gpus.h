// The GPUs that this process sees, and how they reach each other. No Torch here, so that nvcc reads none of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gaggle {

struct GpuFacts {
  std::string name;      // "NVIDIA H100 80GB HBM3"
  std::string uuid;      // "GPU-6f1e…", as nvidia-smi writes it: two ranks with one UUID share a GPU
  std::string pci;       // "0000:1b:00"
  std::string computes;  // compute capability, "9.0"
  uint64_t memory_bytes = 0;
};

// Memory of the one is read by the other: by way of the host's memory; over PCIe; over NVLink (the only link
// that carries atomic operations too).
enum class GpuLink { through_host, pcie, nvlink };

// In device order; none without a GPU, or in a build without CUDA. Makes no context on a GPU.
std::vector<GpuFacts> visible_gpus();
GpuLink gpu_link(int a, int b);

}  // namespace gaggle
