// safetensors files (huggingface/safetensors, format of README.md): an 8-byte little-endian header length, a
// JSON header, then the tensors' bytes.
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

class SafetensorsFile {
 public:
  // Maps and checks the file: header length, types, shapes, offsets without holes or overlaps. Throws UserError
  // naming the file, what is wrong and where.
  explicit SafetensorsFile(const std::filesystem::path& path);
  // The same from memory, which must outlive this; `name` stands in messages.
  SafetensorsFile(std::span<const std::byte> bytes, std::string name);
  const std::vector<TensorView>& tensors() const { return tensors_; }  // in file order
  const TensorView* find(std::string_view name) const;                 // nullptr: not there
  const TensorView& at(std::string_view name) const;                   // throws UserError
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::string& name() const { return name_; }  // the path, for messages

 private:
  void parse(std::span<const std::byte> bytes);

  std::unique_ptr<MappedFile> file_;
  std::string name_;
  std::vector<TensorView> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
  std::map<std::string, std::string> metadata_;
};

// The file's bytes, tensors in the order given (safetensors' own writer sorts by alignment, then name: callers
// sort).
std::string safetensors_bytes(const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

}  // namespace gaggle
