#include "kernel/gated.h"

#include <ATen/Parallel.h>

#include "base/error.h"
#include "kernel/cuda_kernels.h"
#include "kernel/dispatch.h"
#include "kernel/element.h"

namespace gaggle {
namespace {

using simd::Floats;
using simd::lanes;

GAGGLE_SHARED void sigmoid(const Floats& x, Floats& y) {
  simd::exp(-x, y);
  y = 1.0f / (1.0f + y);
}

template <Activation activation>
GAGGLE_SHARED void share(const Floats& g, Floats& s) {
  if constexpr (activation == Activation::relu) {
    element::step(g, s);
  } else {
    element::sigmoid_argument<activation>(g, s);
    sigmoid(s, s);
  }
}

template <Activation activation, class X>
GAGGLE_CLONES void forward_range(const X* gate, const X* up, X* y, int64_t begin, int64_t end) {
  Floats g, u, s;
  for (int64_t i = begin; i < end; i += lanes) {
    simd::load(gate + i, end - i, g);
    simd::load(up + i, end - i, u);
    share<activation>(g, s);
    element::gated(g, s, u, u);
    simd::store(y + i, end - i, u);
  }
}

template <Activation activation, class X>
GAGGLE_CLONES void backward_range(X* gate, X* up, const X* dy, int64_t begin, int64_t end) {
  Floats g, u, s, d, dg, du;
  for (int64_t i = begin; i < end; i += lanes) {
    simd::load(gate + i, end - i, g);
    simd::load(up + i, end - i, u);
    simd::load(dy + i, end - i, d);
    share<activation>(g, s);
    element::gated_backward<activation>(g, s, u, d, dg, du);
    simd::store(gate + i, end - i, dg);
    simd::store(up + i, end - i, du);
  }
}

// body(begin, end) over all of n elements, in pieces that are a multiple of the lanes.
template <class Body>
void in_pieces(int64_t n, const Body& body) {
  constexpr int64_t piece = 16384;
  at::parallel_for(0, (n + piece - 1) / piece, 1,
                   [&](int64_t first, int64_t last) { body(first * piece, std::min(n, last * piece)); });
}

}  // namespace

at::Tensor gated(Activation activation, const at::Tensor& gate, const at::Tensor& up) {
  GAGGLE_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type());
  const int64_t n = gate.numel();
  if (on_cpu(gate) && on_cpu(up)) {
    at::Tensor y = at::empty_like(gate);
    with_elements(y, [&](auto* to) {
      using X = decltype(to);
      const auto *g = static_cast<X>(gate.data_ptr()), *u = static_cast<X>(up.data_ptr());
      element::with_activation(activation, [&](auto a) {
        in_pieces(n, [&](int64_t begin, int64_t end) { forward_range<a()>(g, u, to, begin, end); });
      });
    });
    return y;
  }
  if (const CudaKernels* cuda = cuda_kernels(gate); cuda && up.is_contiguous()) {
    at::Tensor y = at::empty_like(gate);
    cuda->gated(activation, gate.data_ptr(), up.data_ptr(), y.data_ptr(), is_bf16(gate), n, LaunchStream(gate));
    return y;
  }
  return (activated(activation, widened(gate)) * widened(up)).to(gate.scalar_type());
}

void gated_backward_(Activation activation, at::Tensor& gate, at::Tensor& up, const at::Tensor& dy) {
  GAGGLE_CHECK(gate.sizes() == up.sizes() && gate.sizes() == dy.sizes() && gate.scalar_type() == dy.scalar_type());
  const int64_t n = gate.numel();
  if (on_cpu(gate) && on_cpu(up) && on_cpu(dy)) {
    with_elements(gate, [&](auto* g) {
      using X = decltype(g);
      auto* u = static_cast<X>(up.data_ptr());
      const auto* d = static_cast<X>(dy.data_ptr());
      element::with_activation(activation, [&](auto a) {
        in_pieces(n, [&](int64_t begin, int64_t end) { backward_range<a()>(g, u, d, begin, end); });
      });
    });
    return;
  }
  if (const CudaKernels* cuda = cuda_kernels(gate); cuda && up.is_contiguous() && dy.is_contiguous()) {
    cuda->gated_backward(activation, gate.data_ptr(), up.data_ptr(), dy.data_ptr(), is_bf16(gate), n,
                         LaunchStream(gate));
    return;
  }
  at::Tensor g = widened(gate);  // gate itself where it is wide already
  const at::Tensor d = widened(dy), dact = d * widened(up), du = d * activated(activation, g);
  activated_backward_(activation, g, dact);
  gate.copy_(g);
  up.copy_(du);
}

at::Tensor activated(Activation activation, const at::Tensor& x) {
  if (activation == Activation::silu) return at::silu(x);
  if (activation == Activation::gelu_tanh) return at::gelu(x, "tanh");
  return at::relu(x);
}

void activated_backward_(Activation activation, at::Tensor& x, const at::Tensor& dy) {
  if (activation == Activation::silu)
    at::silu_backward_out(x, dy, x);
  else if (activation == Activation::gelu_tanh)
    at::gelu_backward_out(x, dy, x, "tanh");
  else
    at::threshold_backward_out(x, dy, x, 0);
}

}  // namespace gaggle
