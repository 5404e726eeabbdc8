#include "kernel/norm.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "base/error.h"
#include "kernel/cuda_kernels.h"
#include "kernel/dispatch.h"
#include "kernel/element.h"

namespace gaggle {
namespace {

using simd::Bf16;
using simd::Floats;
using simd::lanes;

// Rows [begin, end) of y = norm(x), or of sum = x + delta and y = norm(sum).
template <class X, class Y>
GAGGLE_SHARED void norm_rows(const X* x, const Y* delta, X* sum, const float* w, Y* y, int64_t begin,
                             int64_t end, int64_t d, float eps) {
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

template <class X, class Y, class D>
GAGGLE_SHARED void backward_rows(const X* x, const Y* dy, const float* w, D* dx, Y* copy, bool accumulate,
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

GAGGLE_CLONES void norm_f32(const float* x, const float* delta, float* sum, const float* w, float* y,
                            int64_t begin, int64_t end, int64_t d, float eps) {
  norm_rows(x, delta, sum, w, y, begin, end, d, eps);
}
GAGGLE_CLONES void norm_f32_bf16(const float* x, const Bf16* delta, float* sum, const float* w, Bf16* y,
                                 int64_t begin, int64_t end, int64_t d, float eps) {
  norm_rows(x, delta, sum, w, y, begin, end, d, eps);
}
GAGGLE_CLONES void norm_bf16(const Bf16* x, const float* w, Bf16* y, int64_t begin, int64_t end, int64_t d,
                             float eps) {
  norm_rows(x, static_cast<const Bf16*>(nullptr), static_cast<Bf16*>(nullptr), w, y, begin, end, d, eps);
}
GAGGLE_CLONES void backward_f32(const float* x, const float* dy, const float* w, float* dx, bool accumulate,
                                int64_t begin, int64_t end, int64_t d, float eps) {
  backward_rows(x, dy, w, dx, static_cast<float*>(nullptr), accumulate, begin, end, d, eps);
}
GAGGLE_CLONES void backward_f32_bf16(const float* x, const Bf16* dy, const float* w, float* dx, Bf16* copy,
                                     int64_t begin, int64_t end, int64_t d, float eps) {
  backward_rows(x, dy, w, dx, copy, true, begin, end, d, eps);
}
GAGGLE_CLONES void backward_bf16(const Bf16* x, const Bf16* dy, const float* w, Bf16* dx, int64_t begin,
                                 int64_t end, int64_t d, float eps) {
  backward_rows(x, dy, w, dx, static_cast<Bf16*>(nullptr), false, begin, end, d, eps);
}

at::Tensor inverse_root(const at::Tensor& x, double eps) {
  return (x.square().mean(-1, true) + eps).rsqrt();
}

// d norm(x) of dy by ATen, in the statistics' type.
at::Tensor backward_plain(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& weight, double eps) {
  const at::Tensor v = x.to(weight.scalar_type()), g = dy.to(weight.scalar_type()) * weight;
  const at::Tensor r = inverse_root(v, eps);
  return g * r - v * (r.pow(3) * (g * v).mean(-1, true));
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, at::ScalarType out) {
  const int64_t d = x.size(-1), rows = x.numel() / d;
  const float e = static_cast<float>(eps);
  GAGGLE_CHECK(weight.numel() == d);
  if (on_cpu(x) && on_cpu(weight) && (x.scalar_type() == at::kFloat || out == at::kBFloat16)) {
    at::Tensor y = at::empty(x.sizes(), x.options().dtype(out));
    at::parallel_for(0, rows, grain(d), [&](int64_t begin, int64_t end) {
      if (is_bf16(x))
        norm_bf16(bf16_of(x), float_of(weight), bf16_of(y), begin, end, d, e);
      else if (out == at::kBFloat16)
        norm_f32_bf16(float_of(x), nullptr, nullptr, float_of(weight), bf16_of(y), begin, end, d, e);
      else
        norm_f32(float_of(x), nullptr, nullptr, float_of(weight), float_of(y), begin, end, d, e);
    });
    return y;
  }
  if (const CudaKernels* cuda = cuda_kernels(x)) {
    at::Tensor y = at::empty(x.sizes(), x.options().dtype(out));
    cuda->rms_norm(x.data_ptr(), is_bf16(x), nullptr, nullptr, float_of(weight), y.data_ptr(), is_bf16(y), rows,
                   d, e, LaunchStream(x));
    return y;
  }
  const at::Tensor v = x.to(weight.scalar_type());
  return (v * inverse_root(v, eps) * weight).to(out);
}

at::Tensor add_rms_norm(const at::Tensor& x, const at::Tensor& delta, at::Tensor& sum, const at::Tensor& weight,
                        double eps, at::ScalarType out) {
  const int64_t d = x.size(-1), rows = x.size(0);
  const float e = static_cast<float>(eps);
  GAGGLE_CHECK(delta.sizes() == x.sizes() && sum.sizes() == x.sizes() && delta.scalar_type() == out);
  if (on_cpu(x) && on_cpu(delta) && on_cpu(sum)) {
    at::Tensor y = at::empty(x.sizes(), x.options().dtype(out));
    at::parallel_for(0, rows, grain(d), [&](int64_t begin, int64_t end) {
      if (out == at::kBFloat16)
        norm_f32_bf16(float_of(x), bf16_of(delta), float_of(sum), float_of(weight), bf16_of(y), begin, end, d,
                      e);
      else
        norm_f32(float_of(x), float_of(delta), float_of(sum), float_of(weight), float_of(y), begin, end, d, e);
    });
    return y;
  }
  if (const CudaKernels* cuda = cuda_kernels(x); cuda && delta.is_contiguous()) {
    at::Tensor y = at::empty(x.sizes(), x.options().dtype(out));
    cuda->rms_norm(x.data_ptr(), false, delta.data_ptr(), float_of(sum), float_of(weight), y.data_ptr(),
                   is_bf16(y), rows, d, e, LaunchStream(x));
    return y;
  }
  at::add_out(sum, x, delta.to(x.scalar_type()));
  return rms_norm(sum, weight, eps, out);
}

at::Tensor rms_norm_backward(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& weight, double eps,
                             at::Tensor& dx) {
  const int64_t d = x.size(-1), rows = x.size(0);
  const float e = static_cast<float>(eps);
  GAGGLE_CHECK(dy.sizes() == x.sizes() && dx.sizes() == x.sizes() && dx.scalar_type() == x.scalar_type());
  if (on_cpu(x) && on_cpu(dy) && on_cpu(dx)) {
    at::Tensor copy = is_bf16(dy) ? at::empty_like(dy) : dx;
    at::parallel_for(0, rows, grain(d), [&](int64_t begin, int64_t end) {
      if (is_bf16(dy))
        backward_f32_bf16(float_of(x), bf16_of(dy), float_of(weight), float_of(dx), bf16_of(copy), begin, end,
                          d, e);
      else
        backward_f32(float_of(x), float_of(dy), float_of(weight), float_of(dx), true, begin, end, d, e);
    });
    return copy;
  }
  if (const CudaKernels* cuda = cuda_kernels(x); cuda && dy.is_contiguous()) {
    at::Tensor copy = is_bf16(dy) ? at::empty_like(dy) : dx;
    cuda->rms_norm_backward(x.data_ptr(), false, dy.data_ptr(), is_bf16(dy), float_of(weight), dx.data_ptr(),
                            is_bf16(dy) ? copy.data_ptr() : nullptr, true, rows, d, e, LaunchStream(x));
    return copy;
  }
  dx.add_(backward_plain(x, dy, weight, eps));
  return dx.to(dy.scalar_type());
}

void rms_norm_backward_(const at::Tensor& x, at::Tensor& dy, const at::Tensor& weight, double eps) {
  const int64_t d = x.size(-1), rows = x.numel() / d;
  const float e = static_cast<float>(eps);
  GAGGLE_CHECK(dy.sizes() == x.sizes() && dy.scalar_type() == x.scalar_type());
  if (on_cpu(x) && on_cpu(dy)) {
    at::parallel_for(0, rows, grain(d), [&](int64_t begin, int64_t end) {
      if (is_bf16(x))
        backward_bf16(bf16_of(x), bf16_of(dy), float_of(weight), bf16_of(dy), begin, end, d, e);
      else
        backward_f32(float_of(x), float_of(dy), float_of(weight), float_of(dy), false, begin, end, d, e);
    });
    return;
  }
  if (const CudaKernels* cuda = cuda_kernels(x); cuda && dy.is_contiguous()) {
    cuda->rms_norm_backward(x.data_ptr(), is_bf16(x), dy.data_ptr(), is_bf16(dy), float_of(weight),
                            dy.data_ptr(), nullptr, false, rows, d, e, LaunchStream(x));
    return;
  }
  dy.copy_(backward_plain(x, dy, weight, eps));
}

}  // namespace gaggle
