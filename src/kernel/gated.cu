// Gated activations on the GPU: one thread an element.
#include "kernel/cuda_kernels.h"
#include "kernel/device.cuh"
#include "kernel/element.h"

namespace gaggle {
namespace {

using device::threads;
using Bf16 = __nv_bfloat16;

template <Activation activation>
__device__ __forceinline__ float share(float g) {
  float s;
  if constexpr (activation == Activation::relu) {
    element::step(g, s);
    return s;
  } else {
    element::sigmoid_argument<activation>(g, s);
    return device::sigmoid(s);
  }
}

template <Activation activation, class X>
__global__ void forward(const X* gate, const X* up, X* y, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= count) return;
  const float g = device::read(gate + i);
  float out;
  element::gated(g, share<activation>(g), device::read(up + i), out);
  device::write(y + i, out);
}

template <Activation activation, class X>
__global__ void backward(X* gate, X* up, const X* dy, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= count) return;
  const float g = device::read(gate + i);
  float dg, du;
  element::gated_backward<activation>(g, share<activation>(g), device::read(up + i), device::read(dy + i), dg, du);
  device::write(gate + i, dg);
  device::write(up + i, du);
}

// run(type, activation), both as constants: of the first only the type counts.
template <class Run>
void chosen(bool bf16, Activation activation, const Run& run) {
  element::with_activation(activation, [&](auto a) {
    if (bf16)
      run(Bf16(), a);
    else
      run(float(), a);
  });
}

}  // namespace

void gated_cuda(Activation activation, const void* gate, const void* up, void* y, bool bf16, int64_t count,
                void* stream) {
  if (count == 0) return;
  chosen(bf16, activation, [&](auto type, auto a) {
    using X = decltype(type);
    device::launch(forward<decltype(a)::value, X>, device::blocks(count), stream, static_cast<const X*>(gate),
                   static_cast<const X*>(up), static_cast<X*>(y), count);
  });
}

void gated_backward_cuda(Activation activation, void* gate, void* up, const void* dy, bool bf16, int64_t count,
                         void* stream) {
  if (count == 0) return;
  chosen(bf16, activation, [&](auto type, auto a) {
    using X = decltype(type);
    device::launch(backward<decltype(a)::value, X>, device::blocks(count), stream, static_cast<X*>(gate),
                   static_cast<X*>(up), static_cast<const X*>(dy), count);
  });
}

}  // namespace gaggle
