#include "kernel/norm.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "base/error.h"
#include "kernel/cuda_kernels.h"
#include "kernel/dispatch.h"
#include "kernel/element.h"

namespace gaggle {
namespace {

using simd::Floats;
using simd::lanes;

// Rows [begin, end) of y = norm(x), or of sum = x + delta and y = norm(sum).
template <class X, class Y>
GAGGLE_CLONES void norm_rows(const X* x, const Y* delta, X* sum, const float* w, Y* y, int64_t begin, int64_t end,
                             int64_t d, float eps) {
  for (int64_t t = begin; t < end; ++t) {
    const X* row = x + t * d;
    Floats squares{}, v, u;
    for (int64_t i = 0; i < d; i += lanes) {
      simd::load(row + i, d - i, v);
      if (delta) {
        simd::load(delta + t * d + i, d - i, u);
        v += u;
        simd::store(sum + t * d + i, d - i, v);
      }
      squares += v * v;
    }
    if (delta) row = sum + t * d;
    const float r = 1.0f / std::sqrt(simd::sum(squares) / static_cast<float>(d) + eps);
    for (int64_t i = 0; i < d; i += lanes) {
      simd::load(row + i, d - i, v);
      simd::load(w + i, d - i, u);
      element::rms_norm(v, r, u, v);
      simd::store(y + t * d + i, d - i, v);
    }
  }
}

// Rows [begin, end) of dx = d norm(x) of dy, or where it is added of dx += that; `copy`: the result in dy's type.
template <class X, class Y>
GAGGLE_CLONES void backward_rows(const X* x, const Y* dy, const float* w, X* dx, Y* copy, bool accumulate,
                                 int64_t begin, int64_t end, int64_t d, float eps) {
  for (int64_t t = begin; t < end; ++t) {
    const int64_t row = t * d;
    Floats squares{}, products{}, v, g, u;
    for (int64_t i = 0; i < d; i += lanes) {
      simd::load(x + row + i, d - i, v);
      simd::load(dy + row + i, d - i, g);
      simd::load(w + i, d - i, u);
      squares += v * v;
      products += (u * g) * v;
    }
    const float r = 1.0f / std::sqrt(simd::sum(squares) / static_cast<float>(d) + eps);
    const float k = r * r * r * (simd::sum(products) / static_cast<float>(d));
    for (int64_t i = 0; i < d; i += lanes) {
      simd::load(x + row + i, d - i, v);
      simd::load(dy + row + i, d - i, g);
      simd::load(w + i, d - i, u);
      element::rms_norm_backward(v, g, r, k, u, v);
      if (accumulate) {
        simd::load(dx + row + i, d - i, g);
        v += g;
      }
      simd::store(dx + row + i, d - i, v);
      if (copy) simd::store(copy + row + i, d - i, v);
    }
  }
}

at::Tensor inverse_root(const at::Tensor& x, double eps) { return (x.square().mean(-1, true) + eps).rsqrt(); }

// d norm(x) of dy by ATen, in the statistics' type.
at::Tensor backward_plain(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& weight, double eps) {
  const at::Tensor v = x.to(weight.scalar_type()), g = dy.to(weight.scalar_type()) * weight;
  const at::Tensor r = inverse_root(v, eps);
  return g * r - v * (r.pow(3) * (g * v).mean(-1, true));
}

// norm(x), or where delta is defined sum = x + delta and norm(sum).
at::Tensor norm(const at::Tensor& x, const at::Tensor& delta, at::Tensor sum, const at::Tensor& weight, double eps,
                at::ScalarType out) {
  const int64_t d = x.size(-1), rows = x.numel() / d;
  const auto e = static_cast<float>(eps);
  const bool adds = delta.defined();
  GAGGLE_CHECK(weight.numel() == d);
  const bool ours = on_cpu(x) && on_cpu(weight) && (x.scalar_type() == at::kFloat || out == at::kBFloat16);
  if (ours && (!adds || (on_cpu(delta) && on_cpu(sum)))) {
    at::Tensor y = at::empty(x.sizes(), x.options().dtype(out));
    at::parallel_for(0, rows, grain(d), [&](int64_t begin, int64_t end) {
      with_elements(x, [&](auto* from) {
        with_elements(y, [&](auto* to) {
          const auto* added = adds ? static_cast<decltype(to)>(delta.data_ptr()) : nullptr;
          auto* both = adds ? static_cast<decltype(from)>(sum.data_ptr()) : nullptr;
          norm_rows(from, added, both, float_of(weight), to, begin, end, d, e);
        });
      });
    });
    return y;
  }
  if (const CudaKernels* cuda = cuda_kernels(x); cuda && (!adds || delta.is_contiguous())) {
    at::Tensor y = at::empty(x.sizes(), x.options().dtype(out));
    cuda->rms_norm(x.data_ptr(), is_bf16(x), adds ? delta.data_ptr() : nullptr, adds ? float_of(sum) : nullptr,
                   float_of(weight), y.data_ptr(), is_bf16(y), rows, d, e, LaunchStream(x));
    return y;
  }
  if (adds) {
    at::add_out(sum, x, delta.to(x.scalar_type()));
    return rms_norm(sum, weight, eps, out);
  }
  const at::Tensor v = x.to(weight.scalar_type());
  return (v * inverse_root(v, eps) * weight).to(out);
}

// dx ← d norm(x) of dy, or dx += that and the result in dy's type to `copy`, where it is defined. False: not here.
bool backward(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& weight, double eps, at::Tensor& dx,
              const at::Tensor& copy, bool accumulate) {
  const int64_t d = x.size(-1), rows = x.numel() / d;
  const auto e = static_cast<float>(eps);
  if (on_cpu(x) && on_cpu(dy) && on_cpu(dx)) {
    at::parallel_for(0, rows, grain(d), [&](int64_t begin, int64_t end) {
      with_elements(x, [&](auto* from) {
        with_elements(dy, [&](auto* gradient) {
          auto* to = static_cast<decltype(from)>(dx.data_ptr());
          auto* copied = copy.defined() ? static_cast<decltype(gradient)>(copy.data_ptr()) : nullptr;
          backward_rows(from, gradient, float_of(weight), to, copied, accumulate, begin, end, d, e);
        });
      });
    });
    return true;
  }
  const CudaKernels* cuda = cuda_kernels(x);
  if (!cuda || !dy.is_contiguous()) return false;
  cuda->rms_norm_backward(x.data_ptr(), is_bf16(x), dy.data_ptr(), is_bf16(dy), float_of(weight), dx.data_ptr(),
                          copy.defined() ? copy.data_ptr() : nullptr, accumulate, rows, d, e, LaunchStream(x));
  return true;
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, at::ScalarType out) {
  return norm(x, {}, {}, weight, eps, out);
}

at::Tensor add_rms_norm(const at::Tensor& x, const at::Tensor& delta, at::Tensor& sum, const at::Tensor& weight,
                        double eps, at::ScalarType out) {
  GAGGLE_CHECK(delta.sizes() == x.sizes() && sum.sizes() == x.sizes() && delta.scalar_type() == out);
  return norm(x, delta, sum, weight, eps, out);
}

at::Tensor rms_norm_backward(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& weight, double eps,
                             at::Tensor& dx) {
  GAGGLE_CHECK(dy.sizes() == x.sizes() && dx.sizes() == x.sizes() && dx.scalar_type() == x.scalar_type());
  const at::Tensor copy = is_bf16(dy) ? at::empty(dy.sizes(), dy.options()) : at::Tensor();
  if (backward(x, dy, weight, eps, dx, copy, true)) return copy.defined() ? copy : dx;
  dx.add_(backward_plain(x, dy, weight, eps));
  return dx.to(dy.scalar_type());
}

void rms_norm_backward_(const at::Tensor& x, at::Tensor& dy, const at::Tensor& weight, double eps) {
  GAGGLE_CHECK(dy.sizes() == x.sizes() && dy.scalar_type() == x.scalar_type());
  if (!backward(x, dy, weight, eps, dy, {}, false)) dy.copy_(backward_plain(x, dy, weight, eps));
}

}  // namespace gaggle
