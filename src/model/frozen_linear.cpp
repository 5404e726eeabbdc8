#include "model/frozen_linear.h"

#include "base/error.h"

namespace gaggle {

FrozenLinear::FrozenLinear(at::Tensor weight, at::Tensor bias)
    : weight_(std::move(weight)), bias_(std::move(bias)) {
  GAGGLE_CHECK(weight_.dim() == 2 && weight_.is_contiguous());
  GAGGLE_CHECK(!bias_.defined() || bias_.numel() == weight_.size(0));
}

at::Tensor FrozenLinear::forward(const at::Tensor& x) const {
  return bias_.defined() ? at::addmm(bias_, x, weight_.t()) : at::mm(x, weight_.t());
}

at::Tensor FrozenLinear::dx(const at::Tensor& dy) const {
  return at::mm(dy, weight_);
}

void FrozenLinear::add_dx(const at::Tensor& dy, at::Tensor& dx) const {
  dx.addmm_(dy, weight_);
}

at::Tensor FrozenLinear::rows(const at::Tensor& ids) const {
  return weight_.index_select(0, ids);
}

}  // namespace gaggle
