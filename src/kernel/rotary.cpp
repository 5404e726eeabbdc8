#include "kernel/rotary.h"

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

template <class X>
GAGGLE_CLONES void turn_rows(X* x, const int32_t* positions, const float* cos, const float* sin, float direction,
                             int64_t begin, int64_t end, int64_t heads, int64_t half) {
  Floats a, b, c, s;
  for (int64_t t = begin; t < end; ++t) {
    const int64_t at = positions[t] * half;
    for (int64_t h = 0; h < heads; ++h) {
      X* first = x + (t * heads + h) * 2 * half;
      for (int64_t i = 0; i < half; i += lanes) {
        simd::load(first + i, half - i, a);
        simd::load(first + half + i, half - i, b);
        simd::load(cos + at + i, half - i, c);
        simd::load(sin + at + i, half - i, s);
        s *= direction;
        Floats p, q;
        element::rotate(a, b, c, s, p, q);
        simd::store(first + i, half - i, p);
        simd::store(first + half + i, half - i, q);
      }
    }
  }
}

}  // namespace

RotaryTable rotary_table(const std::vector<RotaryRun>& runs, at::ScalarType dtype, at::Device device, double scale) {
  int64_t rows = 0;
  for (const RotaryRun& run : runs) rows += run.count;
  const auto half = static_cast<int64_t>(runs.front().frequencies.size());
  at::Tensor cos = at::empty({rows, half}, at::kDouble), sin = at::empty({rows, half}, at::kDouble);
  double *c = cos.data_ptr<double>(), *s = sin.data_ptr<double>();
  for (const RotaryRun& run : runs) {
    for (int64_t p = run.first; p < run.first + run.count; ++p) {
      for (const double frequency : run.frequencies) {
        const double angle = static_cast<double>(p) * frequency;
        *c++ = scale * std::cos(angle);
        *s++ = scale * std::sin(angle);
      }
    }
  }
  const at::ScalarType type = sum_type(dtype);
  return {cos.to(type).to(device), sin.to(type).to(device)};
}

void rotary_(at::Tensor& x, const at::Tensor& rows, const RotaryTable& table, bool inverse) {
  const int64_t tokens = x.size(0), half = table.cos.size(1), heads = x.size(1) / (2 * half);
  GAGGLE_CHECK(rows.scalar_type() == at::kInt && rows.numel() == tokens && x.size(1) == heads * 2 * half);
  const float direction = inverse ? -1.0f : 1.0f;
  if (on_cpu(x)) {
    at::parallel_for(0, tokens, grain(x.size(1)), [&](int64_t begin, int64_t end) {
      with_elements(x, [&](auto* values) {
        turn_rows(values, rows.const_data_ptr<int32_t>(), float_of(table.cos), float_of(table.sin), direction, begin,
                  end, heads, half);
      });
    });
    return;
  }
  if (const CudaKernels* cuda = cuda_kernels(x)) {
    cuda->rotary(x.data_ptr(), is_bf16(x), rows.data_ptr<int32_t>(), float_of(table.cos), float_of(table.sin),
                 direction, tokens, heads, half, LaunchStream(x));
    return;
  }
  const at::Tensor c = table.cos.index_select(0, rows).unsqueeze(1);
  const at::Tensor s = table.sin.index_select(0, rows).unsqueeze(1) * direction;
  at::Tensor pairs = x.view({tokens, heads, 2, half});
  const at::Tensor a = pairs.select(2, 0).to(c.scalar_type()), b = pairs.select(2, 1).to(c.scalar_type());
  const at::Tensor p = a * c - b * s, q = b * c + a * s;
  pairs.select(2, 0).copy_(p);
  pairs.select(2, 1).copy_(q);
}

}  // namespace gaggle
