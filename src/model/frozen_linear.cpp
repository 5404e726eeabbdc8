#include "model/frozen_linear.h"

#include "base/error.h"

namespace gaggle {

FrozenLinear::FrozenLinear(const at::Tensor& weight, at::Tensor bias, BaseUse use)
    : d_out_(weight.size(0)), weight_(weight), bias_(std::move(bias)) {
  GAGGLE_CHECK(!bias_.defined() || bias_.numel() == d_out_);
  if (use == BaseUse::training) transposed_ = PackedWeight(weight.t());
}

at::Tensor FrozenLinear::dx(const at::Tensor& dy, const at::Tensor& sum) const {
  GAGGLE_CHECK(transposed_.defined(), "a base loaded for inference has no backward pass");
  return sum.defined() ? transposed_.multiply_add(dy, sum) : transposed_.multiply(dy);
}

}  // namespace gaggle
