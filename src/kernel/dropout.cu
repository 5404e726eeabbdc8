// Dropout on the GPU: one thread a value, its noise made where it is used.
#include "base/philox.h"
#include "kernel/cuda_kernels.h"
#include "kernel/device.cuh"

namespace gaggle {
namespace {

using device::threads;

template <class X>
__global__ void drop(X* x, const uint64_t* keys, uint64_t below, float scale, int64_t count, int64_t width) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= count) return;
  const bool dropped = random_bits(keys[i / width], static_cast<uint64_t>(i % width)) < below;
  device::write(x + i, device::read(x + i) * (dropped ? 0.0f : scale));
}

}  // namespace

void dropout_cuda(void* x, bool bf16, const uint64_t* keys, uint64_t below, float scale, int64_t rows, int64_t width,
                  void* stream) {
  const int64_t count = rows * width;
  if (count == 0) return;
  const auto run = [&](auto* values) {
    using X = std::remove_pointer_t<decltype(values)>;
    device::launch(drop<X>, device::blocks(count), stream, values, keys, below, scale, count, width);
  };
  bf16 ? run(static_cast<__nv_bfloat16*>(x)) : run(static_cast<float*>(x));
}

}  // namespace gaggle
