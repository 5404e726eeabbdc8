#include "kernel/swiglu.h"

#include <ATen/Parallel.h>

#include "base/error.h"
#include "kernel/cuda_kernels.h"
#include "kernel/dispatch.h"
#include "kernel/element.h"

namespace gaggle {
namespace {

using simd::Bf16;
using simd::Floats;
using simd::lanes;

GAGGLE_SHARED void sigmoid(const Floats& x, Floats& y) {
  simd::exp(-x, y);
  y = 1.0f / (1.0f + y);
}

template <class X>
GAGGLE_SHARED void forward_range(const X* gate, const X* up, X* y, int64_t begin, int64_t end) {
  Floats g, u, s;
  for (int64_t i = begin; i < end; i += lanes) {
    simd::load(gate + i, end - i, g);
    simd::load(up + i, end - i, u);
    sigmoid(g, s);
    element::swiglu(g, s, u, u);
    simd::store(y + i, end - i, u);
  }
}

template <class X>
GAGGLE_SHARED void backward_range(X* gate, X* up, const X* dy, int64_t begin, int64_t end) {
  Floats g, u, s, d, dg, du;
  for (int64_t i = begin; i < end; i += lanes) {
    simd::load(gate + i, end - i, g);
    simd::load(up + i, end - i, u);
    simd::load(dy + i, end - i, d);
    sigmoid(g, s);
    element::swiglu_backward(g, s, u, d, dg, du);
    simd::store(gate + i, end - i, dg);
    simd::store(up + i, end - i, du);
  }
}

GAGGLE_CLONES void forward_f32(const float* gate, const float* up, float* y, int64_t begin, int64_t end) {
  forward_range(gate, up, y, begin, end);
}
GAGGLE_CLONES void forward_bf16(const Bf16* gate, const Bf16* up, Bf16* y, int64_t begin, int64_t end) {
  forward_range(gate, up, y, begin, end);
}
GAGGLE_CLONES void backward_f32(float* gate, float* up, const float* dy, int64_t begin, int64_t end) {
  backward_range(gate, up, dy, begin, end);
}
GAGGLE_CLONES void backward_bf16(Bf16* gate, Bf16* up, const Bf16* dy, int64_t begin, int64_t end) {
  backward_range(gate, up, dy, begin, end);
}

constexpr int64_t piece = 16384;  // elements, a multiple of the lanes

}  // namespace

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  GAGGLE_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type());
  const int64_t n = gate.numel();
  if (on_cpu(gate) && on_cpu(up)) {
    at::Tensor y = at::empty_like(gate);
    at::parallel_for(0, (n + piece - 1) / piece, 1, [&](int64_t first, int64_t last) {
      const int64_t begin = first * piece, end = std::min(n, last * piece);
      if (is_bf16(gate))
        forward_bf16(bf16_of(gate), bf16_of(up), bf16_of(y), begin, end);
      else
        forward_f32(float_of(gate), float_of(up), float_of(y), begin, end);
    });
    return y;
  }
  if (const CudaKernels* cuda = cuda_kernels(gate); cuda && up.is_contiguous()) {
    at::Tensor y = at::empty_like(gate);
    cuda->swiglu(gate.data_ptr(), up.data_ptr(), y.data_ptr(), is_bf16(gate), n, LaunchStream(gate));
    return y;
  }
  return (at::silu(widened(gate)) * widened(up)).to(gate.scalar_type());
}

void swiglu_backward_(at::Tensor& gate, at::Tensor& up, const at::Tensor& dy) {
  GAGGLE_CHECK(gate.sizes() == up.sizes() && gate.sizes() == dy.sizes() &&
               gate.scalar_type() == dy.scalar_type());
  const int64_t n = gate.numel();
  if (on_cpu(gate) && on_cpu(up) && on_cpu(dy)) {
    at::parallel_for(0, (n + piece - 1) / piece, 1, [&](int64_t first, int64_t last) {
      const int64_t begin = first * piece, end = std::min(n, last * piece);
      if (is_bf16(gate))
        backward_bf16(bf16_of(gate), bf16_of(up), bf16_of(dy), begin, end);
      else
        backward_f32(float_of(gate), float_of(up), float_of(dy), begin, end);
    });
    return;
  }
  if (const CudaKernels* cuda = cuda_kernels(gate); cuda && up.is_contiguous() && dy.is_contiguous()) {
    cuda->swiglu_backward(gate.data_ptr(), up.data_ptr(), dy.data_ptr(), is_bf16(gate), n, LaunchStream(gate));
    return;
  }
  const at::Tensor g = widened(gate), u = widened(up), d = widened(dy), s = at::sigmoid(g);
  at::Tensor dg, du;
  dg = d * u * (s * (1 + g * (1 - s)));
  du = d * (g * s);
  gate.copy_(dg);
  up.copy_(du);
}

}  // namespace gaggle
