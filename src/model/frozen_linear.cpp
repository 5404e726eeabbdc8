#include "model/frozen_linear.h"

#include "base/error.h"

namespace gaggle {

FrozenLinear::FrozenLinear(const FrozenTensor& weight, at::Tensor bias, BaseUse use)
    : d_out_(weight.size(0)), bias_(std::move(bias)) {
  GAGGLE_CHECK(!bias_.defined() || bias_.numel() == d_out_);
  if (weight.in_parts()) {
    in_parts_ = weight;
    return;
  }
  weight_ = PackedWeight(weight.get());
  if (use == BaseUse::training) transposed_ = PackedWeight(weight.get().t());
}

FrozenLinear::FrozenLinear(StoredWeight weight, at::Tensor bias)
    : d_out_(weight.d_out()), stored_(std::move(weight)), bias_(std::move(bias)) {
  GAGGLE_CHECK(!bias_.defined() || bias_.numel() == d_out_);
}

at::Tensor FrozenLinear::forward(const at::Tensor& x) const {
  if (in_parts_.defined()) return PackedWeight(in_parts_.get()).multiply(x, bias_);
  if (!stored_.defined()) return weight_.multiply(x, bias_);
  const at::Tensor weight = stored_.expand();
  return bias_.defined() ? at::addmm(bias_, x, weight.t()) : at::mm(x, weight.t());
}

at::Tensor FrozenLinear::dx(const at::Tensor& dy, const at::Tensor& sum) const {
  if (stored_.defined()) {
    const at::Tensor weight = stored_.expand();
    return sum.defined() ? at::Tensor(sum).addmm_(dy, weight) : at::mm(dy, weight);
  }
  if (in_parts_.defined()) {
    const PackedWeight transposed(in_parts_.get().t());
    return sum.defined() ? transposed.multiply_add(dy, sum) : transposed.multiply(dy);
  }
  GAGGLE_CHECK(transposed_.defined(), "a base loaded for inference has no backward pass");
  return sum.defined() ? transposed_.multiply_add(dy, sum) : transposed_.multiply(dy);
}

}  // namespace gaggle
