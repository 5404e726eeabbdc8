#include "adapter/parameters.h"

#include <algorithm>

#include "base/error.h"

namespace gaggle {

void append_range(std::vector<FlatRange>& ranges, FlatRange next) {
  if (!ranges.empty() && ranges.back().offset + ranges.back().count == next.offset)
    ranges.back().count += next.count;
  else
    ranges.push_back(next);
}

ParameterLayout::ParameterLayout(std::vector<ParameterInfo> tensors) : tensors_(std::move(tensors)) {
  std::sort(tensors_.begin(), tensors_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (ParameterInfo& tensor : tensors_) {
    tensor.offset = size_;
    tensor.count = 1;
    for (const int64_t n : tensor.shape) tensor.count *= n;
    size_ += tensor.count;
  }
  for (size_t i = 1; i < tensors_.size(); ++i)
    GAGGLE_CHECK(tensors_[i - 1].name != tensors_[i].name, "two parameters {}", tensors_[i].name);
}

const ParameterInfo* ParameterLayout::find(std::string_view name) const {
  const auto at = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                   [](const ParameterInfo& a, std::string_view b) { return a.name < b; });
  return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

const ParameterInfo& ParameterLayout::at(std::string_view name) const {
  const ParameterInfo* found = find(name);
  GAGGLE_CHECK(found, "no parameter {}", name);
  return *found;
}

at::Tensor ParameterLayout::view(const at::Tensor& flat, std::string_view name) const { return view(flat, at(name)); }

at::Tensor ParameterLayout::view(const at::Tensor& flat, const ParameterInfo& tensor) const {
  return flat.narrow(0, tensor.offset, tensor.count).view(tensor.shape);
}

}  // namespace gaggle
