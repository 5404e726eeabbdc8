// The gated activation on the GPU: one thread an element.
#include "kernel/cuda_kernels.h"
#include "kernel/device.cuh"
#include "kernel/element.h"

namespace gaggle {
namespace {

using device::threads;
using Bf16 = __nv_bfloat16;

template <class X>
__global__ void forward(const X* gate, const X* up, X* y, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= count) return;
  const float g = device::read(gate + i);
  float out;
  element::swiglu(g, device::sigmoid(g), device::read(up + i), out);
  device::write(y + i, out);
}

template <class X>
__global__ void backward(X* gate, X* up, const X* dy, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= count) return;
  const float g = device::read(gate + i);
  float dg, du;
  element::swiglu_backward(g, device::sigmoid(g), device::read(up + i), device::read(dy + i), dg, du);
  device::write(gate + i, dg);
  device::write(up + i, du);
}

}  // namespace

void swiglu_cuda(const void* gate, const void* up, void* y, bool bf16, int64_t count, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  if (count == 0) return;
  if (bf16)
    forward<<<device::blocks(count), threads, 0, on>>>(
        static_cast<const Bf16*>(gate), static_cast<const Bf16*>(up), static_cast<Bf16*>(y), count);
  else
    forward<<<device::blocks(count), threads, 0, on>>>(
        static_cast<const float*>(gate), static_cast<const float*>(up), static_cast<float*>(y), count);
}

void swiglu_backward_cuda(void* gate, void* up, const void* dy, bool bf16, int64_t count, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  if (count == 0) return;
  if (bf16)
    backward<<<device::blocks(count), threads, 0, on>>>(static_cast<Bf16*>(gate), static_cast<Bf16*>(up),
                                                        static_cast<const Bf16*>(dy), count);
  else
    backward<<<device::blocks(count), threads, 0, on>>>(static_cast<float*>(gate), static_cast<float*>(up),
                                                        static_cast<const float*>(dy), count);
}

}  // namespace gaggle
