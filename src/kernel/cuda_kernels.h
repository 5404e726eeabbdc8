// The CUDA kernels as a table of plain functions: no Torch here, so that nvcc reads none of it.
// Pointers are device memory of fp32 (bf16 = false) or bf16 elements; stream is a cudaStream_t.
#pragma once

#include <cstdint>

#include "base/activation.h"

namespace gaggle {

struct CudaKernels {
  // y = norm(x [+ delta → sum]); delta and sum may be null. x, sum fp32 or (heads) y's type.
  void (*rms_norm)(const void* x, bool x_bf16, const void* delta, float* sum, const float* weight, void* y,
                   bool y_bf16, int64_t rows, int64_t width, float eps, void* stream);
  // accumulate: dx fp32 += …, copy (may be null) gets dx in dy's type; else dx (dy's type) = ….
  void (*rms_norm_backward)(const void* x, bool x_bf16, const void* dy, bool dy_bf16, const float* weight,
                            void* dx, void* copy, bool accumulate, int64_t rows, int64_t width, float eps,
                            void* stream);
  void (*gated)(Activation activation, const void* gate, const void* up, void* y, bool bf16, int64_t count,
                void* stream);
  void (*gated_backward)(Activation activation, void* gate, void* up, const void* dy, bool bf16, int64_t count,
                         void* stream);
  void (*rotary)(void* x, bool bf16, const int32_t* positions, const float* cos, const float* sin,
                 float direction, int64_t rows, int64_t heads, int64_t half, void* stream);
  // The model's name into name[size], ended by 0.
  void (*device_name)(int device, char* name, int size);
  void (*device_uuid)(int device, unsigned char* uuid);  // [16]
};

// Defined by the .cu files.
void rms_norm_cuda(const void*, bool, const void*, float*, const float*, void*, bool, int64_t, int64_t, float,
                   void*);
void rms_norm_backward_cuda(const void*, bool, const void*, bool, const float*, void*, void*, bool, int64_t,
                            int64_t, float, void*);
void gated_cuda(Activation, const void*, const void*, void*, bool, int64_t, void*);
void gated_backward_cuda(Activation, void*, void*, const void*, bool, int64_t, void*);
void rotary_cuda(void*, bool, const int32_t*, const float*, const float*, float, int64_t, int64_t, int64_t,
                 void*);
void device_name_cuda(int, char*, int);
void device_uuid_cuda(int, unsigned char*);

}  // namespace gaggle
