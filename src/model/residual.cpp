#include "model/residual.h"

#include <utility>

#include "kernel/norm.h"

namespace gaggle {

at::Tensor ResidualStream::norm(const at::Tensor& weight) {
  if (!delta_.defined()) return rms_norm(values_, weight, eps_, dtype_);
  const at::Tensor delta = std::exchange(delta_, {});
  at::Tensor sum = kept_ ? at::empty_like(values_) : values_;  // a tape holds the old stream
  at::Tensor x = add_rms_norm(values_, delta, sum, weight, eps_, dtype_);
  values_ = sum;
  return x;
}

at::Tensor ResidualStream::finish() {
  if (delta_.defined()) values_ = kept_ ? values_.add(delta_) : values_.add_(delta_);
  delta_.reset();
  return values_;
}

}  // namespace gaggle
