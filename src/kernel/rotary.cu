// Rotary positions on the GPU: one thread a pair.
#include "kernel/cuda_kernels.h"
#include "kernel/device.cuh"
#include "kernel/element.h"

namespace gaggle {
namespace {

using device::threads;

template <class X>
__global__ void turn(X* x, const int32_t* positions, const float* cos, const float* sin, float direction, int64_t pairs,
                     int64_t heads, int64_t half) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (n >= pairs) return;
  const int64_t i = n % half, head = n / half, at = positions[head / heads] * half + i;
  X* first = x + head * 2 * half + i;
  float a, b;
  element::rotate(device::read(first), device::read(first + half), cos[at], sin[at] * direction, a, b);
  device::write(first, a);
  device::write(first + half, b);
}

}  // namespace

void rotary_cuda(void* x, bool bf16, const int32_t* positions, const float* cos, const float* sin, float direction,
                 int64_t rows, int64_t heads, int64_t half, void* stream) {
  const int64_t pairs = rows * heads * half;
  if (pairs == 0) return;
  const auto turn_all = [&](auto* elements) {
    device::launch(turn<std::remove_pointer_t<decltype(elements)>>, device::blocks(pairs), stream, elements, positions,
                   cos, sin, direction, pairs, heads, half);
  };
  if (bf16)
    turn_all(static_cast<__nv_bfloat16*>(x));
  else
    turn_all(static_cast<float*>(x));
}

}  // namespace gaggle
