// A frozen matrix W [d_out, d_in], laid out once the way the hardware's product wants it: on a CPU in bf16
// oneDNN otherwise reorders W at every product, a quarter of the product's time at a few hundred rows. The only
// file that calls operators of LibTorch which are registered, but not public;
// where they are missing it multiplies plainly.
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

// Whether a weight of this type gets a layout of its own (a copy) rather than being used as it lies.
bool packs(at::ScalarType dtype, at::Device device);

class PackedWeight {
 public:
  PackedWeight() = default;
  explicit PackedWeight(const at::Tensor& weight);  // [d_out, d_in], any strides

  bool defined() const { return weight_.defined(); }
  // x [T, d_in] → x Wᵀ + bias, [T, d_out]; bias [d_out] or undefined.
  at::Tensor multiply(const at::Tensor& x, const at::Tensor& bias = {}) const;
  // y + x Wᵀ; y [T, d_out] is left or overwritten, whichever is quicker.
  at::Tensor multiply_add(const at::Tensor& x, at::Tensor y) const;

 private:
  at::Tensor weight_;  // packed, or as it came
};

}  // namespace gaggle
