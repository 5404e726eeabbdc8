// What the CUDA kernels share: elements of fp32 or bf16 as float, and sums over a block in a fixed tree.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace gaggle::device {

constexpr int threads = 256;

__device__ __forceinline__ float read(const float* p) { return *p; }
__device__ __forceinline__ float read(const __nv_bfloat16* p) { return __bfloat162float(*p); }
__device__ __forceinline__ void write(float* p, float x) { *p = x; }
__device__ __forceinline__ void write(__nv_bfloat16* p, float x) { *p = __float2bfloat16_rn(x); }

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// The sum over the block's threads, the same tree every time.
__device__ __forceinline__ float block_sum(float x) {
  __shared__ float part[threads];
  part[threadIdx.x] = x;
  __syncthreads();
  for (int width = threads / 2; width > 0; width /= 2) {
    if (threadIdx.x < width) part[threadIdx.x] += part[threadIdx.x + width];
    __syncthreads();
  }
  const float sum = part[0];
  __syncthreads();
  return sum;
}

inline unsigned blocks(int64_t count) { return static_cast<unsigned>((count + threads - 1) / threads); }

}  // namespace gaggle::device
