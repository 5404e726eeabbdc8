// As much of CUDA's language and runtime as gaggle's kernels use, for a processor: the threads of a block are fibers that change
// at __syncthreads, so that a forgotten barrier or an index beyond the end is found here (shim.cpp).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
// All fibers of a block share it; blocks run one after the other.
#define __shared__ static thread_local

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
extern thread_local uint3 threadIdx, blockIdx;

void __syncthreads();

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidDevice = 101 };
inline cudaError_t cudaPeekAtLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t) { return "no error"; }

struct cudaDeviceProp {
  char name[256] = "fake GPU";
  struct {
    char bytes[16] = {};
  } uuid;
  size_t totalGlobalMem = size_t{80} << 30;
  int major = 0, minor = 0, pciDomainID = 0, pciBusID = 0, pciDeviceID = 0;
};
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
enum cudaDeviceP2PAttr { cudaDevP2PAttrNativeAtomicSupported };
inline cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) { return *can = 0, cudaSuccess; }
inline cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr, int, int) {
  return *value = 0, cudaSuccess;
}

// Runs `thread` for every thread of every block; the memory that `pointers` point into is open meanwhile.
void shim_launch(unsigned blocks, unsigned threads, const std::vector<const void*>& pointers,
                 const std::function<void()>& thread);
