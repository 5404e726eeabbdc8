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

template <class X, class Y, class D>
__global__ void backward(const X* x, const Y* dy, const float* w, D* dx, Y* copy, bool accumulate, int64_t d,
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

}  // namespace

void rms_norm_cuda(const void* x, bool x_bf16, const void* delta, float* sum, const float* weight, void* y,
                   bool y_bf16, int64_t rows, int64_t width, float eps, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  const auto grid = static_cast<unsigned>(rows);
  if (rows == 0) return;
  if (x_bf16)
    forward<<<grid, threads, 0, on>>>(static_cast<const Bf16*>(x), static_cast<const Bf16*>(delta), sum, weight,
                                      static_cast<Bf16*>(y), width, eps);
  else if (y_bf16)
    forward<<<grid, threads, 0, on>>>(static_cast<const float*>(x), static_cast<const Bf16*>(delta), sum,
                                      weight, static_cast<Bf16*>(y), width, eps);
  else
    forward<<<grid, threads, 0, on>>>(static_cast<const float*>(x), static_cast<const float*>(delta), sum,
                                      weight, static_cast<float*>(y), width, eps);
}

void rms_norm_backward_cuda(const void* x, bool x_bf16, const void* dy, bool dy_bf16, const float* weight,
                            void* dx, void* copy, bool accumulate, int64_t rows, int64_t width, float eps,
                            void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  const auto grid = static_cast<unsigned>(rows);
  if (rows == 0) return;
  if (x_bf16)
    backward<<<grid, threads, 0, on>>>(static_cast<const Bf16*>(x), static_cast<const Bf16*>(dy), weight,
                                       static_cast<Bf16*>(dx), static_cast<Bf16*>(copy), accumulate, width,
                                       eps);
  else if (dy_bf16)
    backward<<<grid, threads, 0, on>>>(static_cast<const float*>(x), static_cast<const Bf16*>(dy), weight,
                                       static_cast<float*>(dx), static_cast<Bf16*>(copy), accumulate, width,
                                       eps);
  else
    backward<<<grid, threads, 0, on>>>(static_cast<const float*>(x), static_cast<const float*>(dy), weight,
                                       static_cast<float*>(dx), static_cast<float*>(copy), accumulate, width,
                                       eps);
}

}  // namespace gaggle
