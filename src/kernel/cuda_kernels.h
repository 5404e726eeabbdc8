// The CUDA kernels as a table of plain functions: no Torch here, so that nvcc reads none of it.
// Pointers are device memory of fp32 (bf16 = false) or bf16 elements; stream is a cudaStream_t.
#pragma once

#include <cstdint>
#include <vector>

#include "base/activation.h"
#include "kernel/gpus.h"

namespace gaggle {

// y = norm(x [+ delta → sum]); delta and sum may be null. x, sum fp32 or (heads) y's type.
void rms_norm_cuda(const void* x, bool x_bf16, const void* delta, float* sum, const float* weight, void* y, bool y_bf16,
                   int64_t rows, int64_t width, float eps, void* stream);
// accumulate: dx fp32 += …, copy (may be null) gets dx in dy's type; else dx (dy's type) = ….
void rms_norm_backward_cuda(const void* x, bool x_bf16, const void* dy, bool dy_bf16, const float* weight, void* dx,
                            void* copy, bool accumulate, int64_t rows, int64_t width, float eps, void* stream);
void gated_cuda(Activation activation, const void* gate, const void* up, void* y, bool bf16, int64_t count,
                void* stream);
void gated_backward_cuda(Activation activation, void* gate, void* up, const void* dy, bool bf16, int64_t count,
                         void* stream);
void rotary_cuda(void* x, bool bf16, const int32_t* positions, const float* cos, const float* sin, float direction,
                 int64_t rows, int64_t heads, int64_t half, void* stream);
std::vector<GpuFacts> gpus_cuda();
GpuLink gpu_link_cuda(int a, int b);

// These functions, as a build that has none of them sees them (kernel/dispatch.h).
struct CudaKernels {
  decltype(&rms_norm_cuda) rms_norm;
  decltype(&rms_norm_backward_cuda) rms_norm_backward;
  decltype(&gated_cuda) gated;
  decltype(&gated_backward_cuda) gated_backward;
  decltype(&rotary_cuda) rotary;
  decltype(&gpus_cuda) gpus;
  decltype(&gpu_link_cuda) gpu_link;
};

}  // namespace gaggle
