#include "library/kept_tensors.h"

#include "base/sha256.h"

namespace gaggle {

std::string kept_bytes(const std::vector<TensorToKeep>& tensors, const std::map<std::string, std::string>& metadata) {
  std::vector<TensorView> views;
  for (const auto& [name, values] : tensors)
    views.push_back({name,
                     values.scalar_type() == at::kDouble ? DType::f64 : DType::f32,
                     values.sizes().vec(),
                     {static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()}});
  return safetensors_bytes(views, metadata);
}

SafetensorsFile kept_tensors(const MappedFile& file) {
  return {file.bytes().subspan(seal_bytes), file.path().string()};
}

at::Tensor kept_tensor(const TensorFile& file, const std::string& name) {
  const TensorView& view = file.at(name);
  const at::ScalarType type = view.dtype == DType::f64 ? at::kDouble : at::kFloat;
  return at::from_blob(const_cast<std::byte*>(view.bytes.data()), view.shape, type).clone();
}

}  // namespace gaggle
