// The residual stream of a stack of layers: a block reads its norm; what it returns is added before the next.
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

class ResidualStream {
 public:
  // values [T, hidden] in the stream's type; `kept`: earlier states stay as they are, for a backward pass.
  ResidualStream(at::Tensor values, double eps, at::ScalarType dtype, bool kept)
      : values_(std::move(values)), eps_(eps), dtype_(dtype), kept_(kept) {}
  // What a block adds, [T, hidden] of the activations' type; the next norm adds it on its way.
  void add(at::Tensor delta) { delta_ = std::move(delta); }
  // The norm of the stream, which values() holds afterwards.
  at::Tensor norm(const at::Tensor& weight);
  const at::Tensor& values() const { return values_; }
  at::Tensor finish();  // with the last block's part

 private:
  at::Tensor values_, delta_;
  double eps_;
  at::ScalarType dtype_;
  bool kept_;
};

}  // namespace gaggle
