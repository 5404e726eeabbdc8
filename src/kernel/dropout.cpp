#include "kernel/dropout.h"

#include <ATen/Parallel.h>

#include "base/error.h"
#include "base/philox.h"
#include "kernel/cuda_kernels.h"
#include "kernel/dispatch.h"
#include "kernel/upload.h"

namespace gaggle {
namespace {

using simd::Floats;
using simd::lanes;

constexpr int64_t noise_block = 512;  // values whose factors are on the stack, a multiple of the lanes

// row[i] *= 0 or scale. `below`: what is dropped has random bits below it.
template <class X>
GAGGLE_CLONES void drop_row(uint64_t key, uint64_t below, float scale, X* row, int64_t n) {
  float factors[noise_block];
  Floats x, factor;
  for (int64_t begin = 0; begin < n; begin += noise_block) {
    const int64_t count = n - begin < noise_block ? n - begin : noise_block;
    for (int64_t i = 0; i < count; ++i)
      factors[i] = random_bits(key, static_cast<uint64_t>(begin + i)) < below ? 0.0f : scale;
    for (int64_t i = 0; i < count; i += lanes) {
      simd::load(row + begin + i, count - i, x);
      simd::load(factors + i, count - i, factor);
      simd::store(row + begin + i, count - i, x * factor);
    }
  }
}

GAGGLE_CLONES void keep(uint64_t key, uint64_t below, bool* kept, int64_t n) {
  for (int64_t i = 0; i < n; ++i) kept[i] = random_bits(key, static_cast<uint64_t>(i)) >= below;
}

}  // namespace

void dropout_(at::Tensor& x, std::span<const uint64_t> keys, double p) {
  GAGGLE_CHECK(x.dim() == 2 && x.size(0) == static_cast<int64_t>(keys.size()) && p >= 0 && p < 1);
  if (p == 0) return;
  const auto below = static_cast<uint64_t>(p * 0x1p64);
  const double scale = 1 / (1 - p);
  const int64_t n = x.size(1);
  // of_row(t, key) for all rows, on all processors.
  const auto every_row = [&](const auto& of_row) {
    at::parallel_for(0, x.size(0), grain(n), [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t) of_row(t, keys[static_cast<size_t>(t)]);
    });
  };
  if (on_cpu(x)) {
    with_elements(x, [&](auto* rows) {
      every_row([&](int64_t t, uint64_t key) { drop_row(key, below, static_cast<float>(scale), rows + t * n, n); });
    });
  } else if (const CudaKernels* cuda = cuda_kernels(x)) {
    const at::Tensor there = to_device(keys, x.device());
    cuda->dropout(x.data_ptr(), is_bf16(x), there.const_data_ptr<uint64_t>(), below, static_cast<float>(scale),
                  x.size(0), n, LaunchStream(x));
  } else {
    const at::Tensor kept = at::empty({x.size(0), n}, at::kBool);
    every_row([&](int64_t t, uint64_t key) { keep(key, below, kept.data_ptr<bool>() + t * n, n); });
    // Factors in the wide type, so that bf16 is rounded once, as by the loops.
    x.mul_(kept.to(x.device()).to(sum_type(x.scalar_type())).mul_(scale));
  }
}

}  // namespace gaggle
