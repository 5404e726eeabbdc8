// Small lists of the host's for the device.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <span>
#include <vector>

namespace gaggle {

// [n] on the device. To a GPU it goes from pinned memory: the host does not wait for it.
template <class T>
at::Tensor to_device(std::span<const T> values, at::Device device) {
  const auto type = c10::CppTypeToScalarType<T>::value;
  const at::Tensor here =
      at::empty({static_cast<int64_t>(values.size())}, at::TensorOptions(type).pinned_memory(!device.is_cpu()));
  std::ranges::copy(values, here.template data_ptr<T>());
  return device.is_cpu() ? here : here.to(device, /*non_blocking=*/true);
}
template <class T>
at::Tensor to_device(const std::vector<T>& values, at::Device device) {
  return to_device(std::span(values), device);
}

}  // namespace gaggle
