// Cross-entropy on the GPU: one block a row of logits, which its gradient takes the place of.
#include "kernel/cuda_kernels.h"
#include "kernel/device.cuh"

namespace gaggle {
namespace {

using device::threads;

constexpr float lowest = -3.0e38f;

struct Row {
  float log_sum_exp, mean;  // mean: of the logits
};

template <class X>
__device__ __forceinline__ Row sums_of(const X* x, int64_t n) {
  float top = lowest;
  for (int64_t i = threadIdx.x; i < n; i += threads) {
    const float v = device::read(x + i);
    top = v > top ? v : top;
  }
  top = device::block_max(top);
  float exponentials = 0, values = 0;
  for (int64_t i = threadIdx.x; i < n; i += threads) {
    const float v = device::read(x + i);
    exponentials += expf(v - top);
    values += v;
  }
  exponentials = device::block_sum(exponentials);
  return {top + logf(exponentials), device::block_sum(values) / static_cast<float>(n)};
}

template <class X>
__global__ void one_row(X* logits, const int32_t* starts, const int32_t* ids, const float* weights, float* nll,
                        int64_t n, float smoothing) {
  X* x = logits + static_cast<int64_t>(blockIdx.x) * n;
  const Row row = sums_of(x, n);
  const int first = starts[blockIdx.x], last = starts[blockIdx.x + 1];
  for (int t = first + static_cast<int>(threadIdx.x); t < last; t += threads)
    nll[t] = row.log_sum_exp - device::read(x + ids[t]);
  __syncthreads();  // the gradient takes the logits' place
  if (weights) {
    float weight = 0;
    for (int t = first; t < last; ++t) weight += weights[t];
    const float everywhere = weight * smoothing / static_cast<float>(n);
    for (int64_t i = threadIdx.x; i < n; i += threads)
      device::write(x + i, expf(device::read(x + i) - row.log_sum_exp) * weight - everywhere);
    __syncthreads();
    for (int t = first + static_cast<int>(threadIdx.x); t < last; t += threads) {
      float hits = 0;  // of all targets with this id, each of which writes the same value
      for (int u = first; u < last; ++u) hits += ids[u] == ids[t] ? (1 - smoothing) * weights[u] : 0.0f;
      device::write(x + ids[t], weight * expf(-nll[t]) - hits - everywhere);
    }
    __syncthreads();
  }
  if (smoothing > 0)
    for (int t = first + static_cast<int>(threadIdx.x); t < last; t += threads)
      nll[t] = (1 - smoothing) * nll[t] + smoothing * (row.log_sum_exp - row.mean);
}

}  // namespace

void cross_entropy_cuda(void* logits, bool bf16, const int32_t* starts, const int32_t* ids, const float* weights,
                        float* nll, int64_t rows, int64_t width, float smoothing, void* stream) {
  if (rows == 0) return;
  const auto all_rows = [&](auto* x) {
    device::launch(one_row<std::remove_pointer_t<decltype(x)>>, static_cast<unsigned>(rows), stream, x, starts, ids,
                   weights, nll, width, smoothing);
  };
  if (bf16)
    all_rows(static_cast<__nv_bfloat16*>(logits));
  else
    all_rows(static_cast<float*>(logits));
}

}  // namespace gaggle
