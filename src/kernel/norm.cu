// RMSNorm on the GPU: one block a row.
#include "kernel/cuda_kernels.h"
#include "kernel/device.cuh"
#include "kernel/element.h"

namespace gaggle {
namespace {

using device::threads;

template <class X, class Y>
__global__ void forward(const X* x, const Y* delta, float* sum, const float* w, Y* y, int64_t d, float eps) {
  const int64_t row = blockIdx.x * d;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < d; i += threads) {
    float v = device::read(x + row + i);
    if (delta) {
      v += device::read(delta + row + i);
      sum[row + i] = v;
    }
    squares += v * v;
  }
  const float r = 1.0f / sqrtf(device::block_sum(squares) / static_cast<float>(d) + eps);
  for (int64_t i = threadIdx.x; i < d; i += threads) {
    const float v = delta ? sum[row + i] : device::read(x + row + i);
    float out;
    element::rms_norm(v, r, w[i], out);
    device::write(y + row + i, out);
  }
}

template <class X, class Y>
__global__ void backward(const X* x, const Y* dy, const float* w, X* dx, Y* copy, bool accumulate, int64_t d,
                         float eps) {
  const int64_t row = blockIdx.x * d;
  float squares = 0, products = 0;
  for (int64_t i = threadIdx.x; i < d; i += threads) {
    const float v = device::read(x + row + i);
    squares += v * v;
    products += w[i] * device::read(dy + row + i) * v;
  }
  const float r = 1.0f / sqrtf(device::block_sum(squares) / static_cast<float>(d) + eps);
  const float k = r * r * r * (device::block_sum(products) / static_cast<float>(d));
  for (int64_t i = threadIdx.x; i < d; i += threads) {
    float out;
    element::rms_norm_backward(device::read(x + row + i), device::read(dy + row + i), r, k, w[i], out);
    if (accumulate) out += device::read(dx + row + i);
    device::write(dx + row + i, out);
    if (copy) device::write(copy + row + i, out);
  }
}

using Bf16 = __nv_bfloat16;

// run(x's type, y's type); of both only the type counts. x is as narrow as y at most.
template <class Run>
void chosen(bool x_bf16, bool y_bf16, const Run& run) {
  if (x_bf16)
    run(Bf16(), Bf16());
  else if (y_bf16)
    run(float(), Bf16());
  else
    run(float(), float());
}

}  // namespace

void rms_norm_cuda(const void* x, bool x_bf16, const void* delta, float* sum, const float* weight, void* y, bool y_bf16,
                   int64_t rows, int64_t width, float eps, void* stream) {
  if (rows == 0) return;
  chosen(x_bf16, y_bf16, [&](auto x_type, auto y_type) {
    using X = decltype(x_type);
    using Y = decltype(y_type);
    device::launch(forward<X, Y>, static_cast<unsigned>(rows), stream, static_cast<const X*>(x),
                   static_cast<const Y*>(delta), sum, weight, static_cast<Y*>(y), width, eps);
  });
}

void rms_norm_backward_cuda(const void* x, bool x_bf16, const void* dy, bool dy_bf16, const float* weight, void* dx,
                            void* copy, bool accumulate, int64_t rows, int64_t width, float eps, void* stream) {
  if (rows == 0) return;
  chosen(x_bf16, dy_bf16, [&](auto x_type, auto dy_type) {
    using X = decltype(x_type);
    using Y = decltype(dy_type);
    device::launch(backward<X, Y>, static_cast<unsigned>(rows), stream, static_cast<const X*>(x),
                   static_cast<const Y*>(dy), weight, static_cast<X*>(dx), static_cast<Y*>(copy), accumulate, width,
                   eps);
  });
}

}  // namespace gaggle
