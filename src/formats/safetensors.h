// safetensors files (huggingface/safetensors, format of README.md): an 8-byte little-endian header length, a
// JSON header, then the tensors' bytes.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "formats/tensor.h"

namespace gaggle {

class SafetensorsFile final : public TensorFile {
 public:
  // Maps and checks the file: header length, types, shapes, offsets without holes or overlaps. Throws UserError
  // naming the file, what is wrong and where.
  explicit SafetensorsFile(const std::filesystem::path& path);
  // The same from memory, which must outlive this; `name` stands in messages.
  SafetensorsFile(std::span<const std::byte> bytes, std::string name);
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  void parse();  // tensors in the order of their bytes

  std::map<std::string, std::string> metadata_;
};

// The file's bytes, tensors in the order given: callers sort (safetensors' writer sorts by alignment, then name).
// Throws UserError where the header would be longer than readers take.
std::string safetensors_bytes(const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

}  // namespace gaggle
