// A file of named tensors, whatever its format: what SafetensorsFile and TorchFile have in common.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "formats/tensor.h"

namespace gaggle {

class TensorFile {
 public:
  virtual ~TensorFile() = default;
  TensorFile(TensorFile&&) = default;
  const std::vector<TensorView>& tensors() const { return tensors_; }  // in the format's order
  const TensorView* find(std::string_view name) const;                 // nullptr: not there
  const TensorView& at(std::string_view name) const;                   // throws UserError
  const std::string& name() const { return name_; }                    // the path, for messages

 protected:
  explicit TensorFile(const std::filesystem::path& path);  // maps it
  TensorFile(std::span<const std::byte> bytes, std::string name);
  std::span<const std::byte> bytes() const { return bytes_; }
  void add(TensorView tensor);  // throws UserError where its name is there already

 private:
  std::unique_ptr<MappedFile> file_;
  std::span<const std::byte> bytes_;
  std::string name_;
  std::vector<TensorView> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
};

}  // namespace gaggle
