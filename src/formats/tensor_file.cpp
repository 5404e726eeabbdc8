#include "formats/tensor_file.h"

#include "base/error.h"

namespace gaggle {

TensorFile::TensorFile(const std::filesystem::path& path)
    : file_(std::make_unique<MappedFile>(path)), bytes_(file_->bytes()), name_(path.string()) {}

TensorFile::TensorFile(std::span<const std::byte> bytes, std::string name)
    : bytes_(bytes), name_(std::move(name)) {}

void TensorFile::add(TensorView tensor) {
  if (!index_.emplace(tensor.name, tensors_.size()).second)
    user_error("{}: two tensors are named {}", name_, tensor.name);
  tensors_.push_back(std::move(tensor));
}

const TensorView* TensorFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const TensorView& TensorFile::at(std::string_view name) const {
  const TensorView* tensor = find(name);
  if (!tensor) user_error("{}: there is no tensor {}", name_, name);
  return *tensor;
}

}  // namespace gaggle
