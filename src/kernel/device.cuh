// What the CUDA kernels share: elements of fp32 or bf16 as float, sums over a block in a fixed tree, and launches.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>
#include <vector>

#include "kernel/cuda_kernels.h"

namespace gaggle::device {

#ifdef __CUDACC__
constexpr int threads = 256;
#else
constexpr int threads = 8;  // on a processor (tests/fake_gpu) they are fibers
#endif

__device__ __forceinline__ float read(const float* p) { return *p; }
__device__ __forceinline__ float read(const __nv_bfloat16* p) { return __bfloat162float(*p); }
__device__ __forceinline__ void write(float* p, float x) { *p = x; }
__device__ __forceinline__ void write(__nv_bfloat16* p, float x) { *p = __float2bfloat16_rn(x); }

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// What `join` makes of the block's threads' values, by the same tree every time.
template <class T, class Join>
__device__ __forceinline__ T block_join(T x, const Join& join) {
  __shared__ T part[threads];
  part[threadIdx.x] = x;
  __syncthreads();
  for (unsigned width = threads / 2; width > 0; width /= 2) {
    if (threadIdx.x < width) part[threadIdx.x] = join(part[threadIdx.x], part[threadIdx.x + width]);
    __syncthreads();
  }
  const T joined = part[0];
  __syncthreads();
  return joined;
}

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};
template <class T>
__device__ __forceinline__ T block_sum(T x) {
  return block_join(x, Sum());
}
template <class T>
__device__ __forceinline__ T block_max(T x) {
  return block_join(x, Larger());
}

inline unsigned blocks(int64_t count) { return static_cast<unsigned>((count + threads - 1) / threads); }

// kernel(arguments…) by `blocks` blocks. What is wrong with the launch itself is thrown here; what goes wrong while it
// runs is said by the next call that waits.
template <class... Parameters>
void launch(void (*kernel)(Parameters...), unsigned blocks, [[maybe_unused]] void* stream,
            const std::type_identity_t<Parameters>&... arguments) {
#ifdef __CUDACC__
  kernel<<<blocks, threads, 0, static_cast<cudaStream_t>(stream)>>>(arguments...);
  if (const cudaError_t failed = cudaPeekAtLastError(); failed != cudaSuccess)
    launch_failed(cudaGetErrorString(failed));
#else
  std::vector<const void*> pointers;
  const auto keep = [&](const auto& argument) {
    if constexpr (std::is_pointer_v<std::remove_cvref_t<decltype(argument)>>) pointers.push_back(argument);
  };
  (keep(arguments), ...);
  shim_launch(blocks, threads, pointers, [&] { kernel(arguments...); });
#endif
}

}  // namespace gaggle::device
