#include "kernel/skill_mixing.h"

#include <ATen/Parallel.h>

#include "base/error.h"
#include "kernel/dispatch.h"

namespace gaggle {
namespace {

using simd::Floats;
using simd::lanes;

constexpr int64_t block = 2048;  // values of a head that K skills hold in the cache together

// to[i] = Σ_j w[j·w_step] · rows[j·step + i] over [begin, end), or where `adds` to[i] += that; a weight of 0
// (another task's own skill) is free.
template <bool adds, class X>
GAGGLE_CLONES void weighed_sum(const float* rows, int64_t step, const float* w, int64_t w_step, int64_t count, X* to,
                               int64_t begin, int64_t end) {
  Floats sum, row;
  for (int64_t i = begin; i < end; i += lanes) {
    sum = Floats{};
    if constexpr (adds) simd::load(to + i, end - i, sum);
    for (int64_t j = 0; j < count; ++j) {
      if (w[j * w_step] == 0) continue;
      simd::load(rows + j * step + i, end - i, row);
      sum += w[j * w_step] * row;
    }
    simd::store(to + i, end - i, sum);
  }
}

GAGGLE_CLONES double dot(const float* a, const float* b, int64_t n) {
  double total = 0;
  Floats sum, x, y;
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t end = std::min(n, begin + block);
    sum = Floats{};
    for (int64_t i = begin; i < end; i += lanes) {
      simd::load(a + i, end - i, x);
      simd::load(b + i, end - i, y);
      sum += x * y;
    }
    total += static_cast<double>(simd::sum(sum));
  }
  return total;
}

struct Sizes {
  int64_t mixtures, heads, skills, n, blocks;
  Sizes(const at::Tensor& all, const at::Tensor& w)
      : mixtures(w.size(0)), heads(all.size(0)), skills(all.size(1)), n(all.size(2)), blocks((n + block - 1) / block) {
    GAGGLE_CHECK(all.dim() == 3 && w.dim() == 3 && w.size(1) == heads && w.size(2) == skills);
    GAGGLE_CHECK(all.is_contiguous() && w.is_contiguous());
  }
  // body(head, begin, end) over every block of every head.
  template <class Body>
  void each_block(int64_t cost, const Body& body) const {
    at::parallel_for(0, heads * blocks, grain(cost), [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i)
        body(i / blocks, i % blocks * block, std::min(n, (i % blocks + 1) * block));
    });
  }
};

}  // namespace

at::Tensor mix_skills(const at::Tensor& skills, const at::Tensor& w, at::ScalarType type) {
  const Sizes s(skills, w);
  if (!on_cpu(skills) || type == at::kDouble) {
    at::Tensor sum = at::zeros({s.mixtures, s.heads, s.n}, skills.options());
    for (int64_t k = 0; k < s.skills; ++k) sum.addcmul_(w.select(2, k).unsqueeze(2), skills.select(1, k));
    return sum.to(type);
  }
  at::Tensor out = at::empty({s.mixtures, s.heads, s.n}, skills.options().dtype(type));
  const float* from = float_of(skills);
  const float* weights = float_of(w);
  s.each_block(block * s.skills * s.mixtures, [&](int64_t q, int64_t begin, int64_t end) {
    for (int64_t m = 0; m < s.mixtures; ++m) {
      const int64_t row = m * s.heads + q;
      with_elements(out, [&](auto* to) {
        weighed_sum<false>(from + q * s.skills * s.n, s.n, weights + row * s.skills, 1, s.skills, to + row * s.n, begin,
                           end);
      });
    }
  });
  return out;
}

void mix_skills_backward(const at::Tensor& gradient, const at::Tensor& skills, const at::Tensor& w, at::Tensor d_skills,
                         at::Tensor d_w) {
  const Sizes s(skills, w);
  GAGGLE_CHECK(gradient.is_contiguous() && gradient.numel() == s.mixtures * s.heads * s.n);
  if (!on_cpu(skills)) {
    const at::Tensor by_head = gradient.view({s.mixtures, s.heads, s.n}).transpose(0, 1);  // [h, M, n]
    if (d_skills.defined()) d_skills.baddbmm_(w.permute({1, 2, 0}), by_head);
    if (d_w.defined()) d_w.add_(at::bmm(by_head, skills.transpose(1, 2)).transpose(0, 1));
    return;
  }
  const float* g = float_of(gradient);
  const float* weights = float_of(w);
  if (d_skills.defined()) {
    float* to = float_of(d_skills);
    s.each_block(block * s.skills * s.mixtures, [&](int64_t q, int64_t begin, int64_t end) {
      for (int64_t k = 0; k < s.skills; ++k)
        weighed_sum<true>(g + q * s.n, s.heads * s.n, weights + q * s.skills + k, s.heads * s.skills, s.mixtures,
                          to + (q * s.skills + k) * s.n, begin, end);
    });
  }
  if (d_w.defined()) {
    float* to = float_of(d_w);
    const float* all = float_of(skills);
    at::parallel_for(0, s.mixtures * s.heads * s.skills, grain(s.n), [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const int64_t row = i / s.skills;
        to[i] += static_cast<float>(dot(g + row * s.n, all + (row % s.heads * s.skills + i % s.skills) * s.n, s.n));
      }
    });
  }
}

}  // namespace gaggle
