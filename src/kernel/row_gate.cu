// The gate between the halves of a low-rank product, on the GPU: one thread a row, whose few columns lie together.
#include "kernel/cuda_kernels.h"
#include "kernel/device.cuh"

namespace gaggle {
namespace {

using device::threads;

template <class X>
__global__ void forward(const X* all, X* gated, int64_t rows, int64_t width, int64_t rank, float bias) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (row >= rows) return;
  const X* h = all + row * width;
  const float g = device::sigmoid(device::read(h + rank) + bias);
  for (int64_t j = 0; j < rank; ++j) device::write(gated + row * rank + j, device::read(h + j) * g);
}

template <class X>
__global__ void backward(const X* all, const X* e, X* out, int64_t rows, int64_t width, int64_t rank, float scale,
                         float bias) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (row >= rows) return;
  const X* h = all + row * width;
  X* to = out + row * width;
  const float g = device::sigmoid(device::read(h + rank) + bias);
  float dg = 0;
  for (int64_t j = 0; j < rank; ++j) {
    const float wide = device::read(e + row * rank + j) * scale;
    dg += wide * device::read(h + j);
    device::write(to + j, wide * g);
  }
  device::write(to + rank, dg * g * (1.0f - g));
  for (int64_t j = rank + 1; j < width; ++j) device::write(to + j, 0.0f);
}

template <class X>
void run_forward(const void* all, void* gated, int64_t rows, int64_t width, int64_t rank, float bias, void* stream) {
  device::launch(forward<X>, device::blocks(rows), stream, static_cast<const X*>(all), static_cast<X*>(gated), rows,
                 width, rank, bias);
}

template <class X>
void run_backward(const void* all, const void* e, void* out, int64_t rows, int64_t width, int64_t rank, float scale,
                  float bias, void* stream) {
  device::launch(backward<X>, device::blocks(rows), stream, static_cast<const X*>(all), static_cast<const X*>(e),
                 static_cast<X*>(out), rows, width, rank, scale, bias);
}

}  // namespace

void row_gated_cuda(const void* all, bool bf16, void* gated, int64_t rows, int64_t width, int64_t rank, float bias,
                    void* stream) {
  if (rows == 0) return;
  (bf16 ? run_forward<__nv_bfloat16> : run_forward<float>)(all, gated, rows, width, rank, bias, stream);
}

void row_gate_backward_cuda(const void* all, const void* e, bool bf16, void* out, int64_t rows, int64_t width,
                            int64_t rank, float scale, float bias, void* stream) {
  if (rows == 0) return;
  (bf16 ? run_backward<__nv_bfloat16> : run_backward<float>)(all, e, out, rows, width, rank, scale, bias, stream);
}

}  // namespace gaggle
