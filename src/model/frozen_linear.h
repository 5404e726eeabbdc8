// A linear of the base, y = x Wᵀ + b. It owns its weight; nothing else touches it, so that the storage can
// change without touching a model. Frozen: the backward pass gives dx only.
#pragma once

#include "kernel/packed_weight.h"
#include "model/stored_weight.h"

namespace gaggle {

// What a base is loaded for. Training keeps Wᵀ beside W where the hardware wants each in a layout of its own;
// planning reads no weight: only what the shapes say is known (for training).
enum class BaseUse { inference, training, planning };

class FrozenLinear {
 public:
  FrozenLinear() = default;
  // weight [d_out, d_in]; bias [d_out] or undefined; both of the activations' type already.
  FrozenLinear(const FrozenTensor& weight, at::Tensor bias, BaseUse use);
  FrozenLinear(StoredWeight weight, at::Tensor bias);

  int64_t d_out() const { return d_out_; }

  // [T, d_in] → [T, d_out]
  at::Tensor forward(const at::Tensor& x) const;
  // Of a base loaded for training: [T, d_out] → [T, d_in], with `sum` added, which may be overwritten.
  at::Tensor dx(const at::Tensor& dy, const at::Tensor& sum = {}) const;

 private:
  int64_t d_out_ = 0;
  PackedWeight weight_, transposed_;  // [d_out, d_in] and [d_in, d_out]
  StoredWeight stored_;               // or in few bits, for both
  FrozenTensor in_parts_;             // or spread over ranks: laid out anew for each product, to the same bits
  at::Tensor bias_;
};

}  // namespace gaggle
