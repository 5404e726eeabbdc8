// What the training loop knows of an adapter: flat values, and a flat tensor to which backward adds gradients.
#pragma once

#include "adapter/parameters.h"
#include "model/base_model.h"

namespace gaggle {

class Trainable : public SiteAdapter {
 public:
  const ParameterLayout& layout() const { return layout_; }
  at::Tensor& values() { return values_; }  // [layout().size()] fp32
  // After a change of values(): what is derived from them (copies in the base's dtype) is made again.
  virtual void refresh() = 0;
  // Where backward adds gradients, [layout().size()] fp32; undefined: none are wanted.
  virtual void set_gradients(const at::Tensor& flat) = 0;
  // A lane's last backward pass is done: what was held back is added to the gradients.
  virtual void finish_gradients() {}
  // Optimiser step `step` (0, 1, …) begins: what is drawn or scheduled by step. Evaluation, until the next
  // step: nothing is drawn.
  virtual void begin_step(int64_t) {}
  virtual void begin_evaluation() {}

 protected:
  ParameterLayout layout_;
  at::Tensor values_;
};

}  // namespace gaggle
