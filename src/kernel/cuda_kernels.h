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
// As cross_entropy_ (kernel/cross_entropy.h): starts [rows + 1] bounds of ids, weights (null: no gradient) and nll.
void cross_entropy_cuda(void* logits, bool bf16, const int32_t* starts, const int32_t* ids, const float* weights,
                        float* nll, int64_t rows, int64_t width, float smoothing, void* stream);
// As row_gated and row_gate_backward (kernel/row_gate.h): all [rows, width], e and gated [rows, rank], out as all.
void row_gated_cuda(const void* all, bool bf16, void* gated, int64_t rows, int64_t width, int64_t rank, float bias,
                    void* stream);
void row_gate_backward_cuda(const void* all, const void* e, bool bf16, void* out, int64_t rows, int64_t width,
                            int64_t rank, float scale, float bias, void* stream);
// As dropout_ (kernel/dropout.h): keys [rows]; what has random bits below `below` becomes 0, all else is scaled.
void dropout_cuda(void* x, bool bf16, const uint64_t* keys, uint64_t below, float scale, int64_t rows, int64_t width,
                  void* stream);
// sums [parts] = Σ values² of [starts[i], starts[i + 1]).
void squared_norms_cuda(const float* values, const int64_t* starts, double* sums, int64_t parts, void* stream);
void rotary_cuda(void* x, bool bf16, const int32_t* positions, const float* cos, const float* sin, float direction,
                 int64_t rows, int64_t heads, int64_t half, void* stream);
// What a kernel's launch throws (SystemError), for nvcc.
[[noreturn]] void launch_failed(const char* why);
std::vector<GpuFacts> gpus_cuda();
GpuLink gpu_link_cuda(int a, int b);

// These functions, as a build that has none of them sees them (kernel/dispatch.h).
struct CudaKernels {
  decltype(&rms_norm_cuda) rms_norm;
  decltype(&rms_norm_backward_cuda) rms_norm_backward;
  decltype(&gated_cuda) gated;
  decltype(&gated_backward_cuda) gated_backward;
  decltype(&cross_entropy_cuda) cross_entropy;
  decltype(&row_gated_cuda) row_gated;
  decltype(&row_gate_backward_cuda) row_gate_backward;
  decltype(&dropout_cuda) dropout;
  decltype(&squared_norms_cuda) squared_norms;
  decltype(&rotary_cuda) rotary;
  decltype(&gpus_cuda) gpus;
  decltype(&gpu_link_cuda) gpu_link;
};

}  // namespace gaggle
