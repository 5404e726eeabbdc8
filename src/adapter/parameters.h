// Trainable parameters as one flat fp32 tensor with a layout, so that lane sums, optimisers, digests,
// checkpoints and exchanges between ranks are loops over flat memory.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gaggle {

struct ParameterInfo {
  std::string name;  // "model.layers.0.self_attn.q_proj.lora_A"
  std::vector<int64_t> shape;
  int64_t offset = 0;  // of its first value in the flat tensor
  int64_t count = 0;
};

// A run of neighbouring values in the flat tensor.
struct FlatRange {
  int64_t offset = 0, count = 0;
};
// Behind those that are there; neighbours are joined.
void append_range(std::vector<FlatRange>& ranges, FlatRange next);

// Tensors in name order, without holes.
class ParameterLayout {
 public:
  ParameterLayout() = default;
  explicit ParameterLayout(std::vector<ParameterInfo> tensors);  // names and shapes; sorts, sets offset and count
  const std::vector<ParameterInfo>& tensors() const { return tensors_; }
  int64_t size() const { return size_; }
  const ParameterInfo* find(std::string_view name) const;  // nullptr: not there
  const ParameterInfo& at(std::string_view name) const;
  // The named tensor inside a flat one, as a view.
  at::Tensor view(const at::Tensor& flat, std::string_view name) const;
  at::Tensor view(const at::Tensor& flat, const ParameterInfo& tensor) const;

 private:
  std::vector<ParameterInfo> tensors_;
  int64_t size_ = 0;
};

}  // namespace gaggle
