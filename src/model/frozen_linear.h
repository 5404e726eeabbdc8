// A linear of the base, y = x Wᵀ + b. It owns its weight; nothing else touches it, so that the storage (bf16
// today) can change without touching a model. Frozen: the backward pass gives dx only.
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

class FrozenLinear {
 public:
  FrozenLinear() = default;
  // weight [d_out, d_in]; bias [d_out] or undefined; both of the activations' type already.
  explicit FrozenLinear(at::Tensor weight, at::Tensor bias = {});

  int64_t d_in() const { return weight_.size(1); }
  int64_t d_out() const { return weight_.size(0); }
  bool has_bias() const { return bias_.defined(); }

  at::Tensor forward(const at::Tensor& x) const;            // [T, d_in] → [T, d_out]
  at::Tensor dx(const at::Tensor& dy) const;                // [T, d_out] → [T, d_in]
  void add_dx(const at::Tensor& dy, at::Tensor& dx) const;  // dx += …
  at::Tensor rows(const at::Tensor& ids) const;             // rows of the weight (tied embedding), [n, d_in]

 private:
  at::Tensor weight_, bias_;
};

}  // namespace gaggle
