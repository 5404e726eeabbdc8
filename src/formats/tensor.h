// A tensor in a file: name, type, shape, bytes; and a file of them. No Torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace gaggle {

enum class DType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

size_t size_of(DType dtype);       // bytes per value
std::string name_of(DType dtype);  // as safetensors spells it: "F32", "BF16", …
std::optional<DType> dtype_named(const std::string& name);

std::string shape_text(std::span<const int64_t> shape);  // "[3, 4]"
int64_t count_of(std::span<const int64_t> shape);        // values: the product

// For a tensor without values where there should be some: throws UserError that says who writes such.
[[noreturn]] void refuse_not_gathered(const std::string& place, const std::string& tensor);

// A view: whoever holds the file keeps the bytes alive.
struct TensorView {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  int64_t count() const { return count_of(shape); }
};

// An owned tensor.
struct NamedTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
  TensorView view() const { return {name, dtype, shape, bytes}; }
};

// f16/bf16/f32/f64 → fp32, values.size() == tensor.count(). Throws UserError for integer types.
void to_float(const TensorView& tensor, std::span<float> values);
// The first value that is not finite: "tensor NAME is NaN at [0, 3]"; "": there is none.
std::string not_finite(const TensorView& tensor);
// fp32 → f32/f16/bf16 (round to nearest even).
NamedTensor from_float(std::string name, std::vector<int64_t> shape, std::span<const float> values, DType dtype);

class TensorFile;
// The same of all tensors, which a file holds among others or alone: "FILE: tensor NAME is NaN at [0, 3]".
std::string not_finite(const std::vector<TensorView>& tensors, const std::string& file);
std::string not_finite(const TensorFile& file);

// A file of named tensors, whatever its format: what SafetensorsFile and TorchFile have in common.
class TensorFile {
 public:
  virtual ~TensorFile() = default;
  TensorFile(TensorFile&&) = default;
  const std::vector<TensorView>& tensors() const { return tensors_; }  // in the format's order
  const TensorView* find(std::string_view name) const;                 // nullptr: not there
  const TensorView& at(std::string_view name) const;                   // throws UserError
  const std::string& name() const { return name_; }                    // the path, for messages
  void let_go() const { file_ ? file_->let_go() : void(); }            // MappedFile's

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
