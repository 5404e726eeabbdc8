// Products on their way into a gradient: of bf16 a GPU gives the fp32 sums, which are rounded nowhere; elsewhere, and of
// other types, they are LibTorch's plain products.
#pragma once

#include <ATen/ATen.h>

#include "kernel/dispatch.h"

namespace gaggle {

inline bool sums_stay_wide(const at::Tensor& left) { return !left.is_cpu() && is_bf16(left); }

inline at::Tensor wide_mm(const at::Tensor& left, const at::Tensor& right) {
  return sums_stay_wide(left) ? at::mm(left, right, at::kFloat) : at::mm(left, right);
}
inline at::Tensor wide_bmm(const at::Tensor& left, const at::Tensor& right) {
  return sums_stay_wide(left) ? at::bmm(left, right, at::kFloat) : at::bmm(left, right);
}

// to [n, m] += scale · left · right, in the layout that `to` has.
inline void add_wide_mm(at::Tensor to, const at::Tensor& left, const at::Tensor& right, double scale) {
  if (!to.is_contiguous()) return add_wide_mm(to.t(), right.t(), left.t(), scale);
  if (sums_stay_wide(left))
    at::addmm_out(to, to, left, right, to.scalar_type(), 1, scale);
  else
    to.add_(at::mm(left, right), scale);
}

}  // namespace gaggle
