// GGUF files (ggml's docs/gguf.md, versions 2 and 3, little-endian): typed metadata and quantised tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "formats/tensor.h"

namespace gaggle {

// ggml's numbers of the types that are read here; those between are not.
enum class GgufType : uint32_t {
  f32,
  f16,
  q4_0,
  q4_1,
  q5_0 = 6,
  q5_1,
  q8_0,
  q2_k = 10,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl = 20,
  iq4_xs = 23,
  bf16 = 30
};

struct GgufTensor {
  std::string name;  // "blk.0.attn_q.weight"
  GgufType type = GgufType::f32;
  std::vector<int64_t> shape;  // slowest first, as elsewhere: [d_out, d_in] (the file has it reversed)
  std::span<const std::byte> bytes;
  int64_t count() const { return count_of(shape); }
};

// Every integer type is held as int64, every float as double; arrays likewise (bools in arrays as integers).
using GgufValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                               std::vector<std::string>>;

class GgufFile {
 public:
  // Maps and checks the file: counts, lengths, types, offsets. Throws UserError naming the file and the fault.
  explicit GgufFile(const std::filesystem::path& path);
  // The same from memory, which must outlive this; `name` stands in messages.
  GgufFile(std::span<const std::byte> bytes, std::string name);

  void let_go() const { file_ ? file_->let_go() : void(); }  // MappedFile's
  bool has(std::string_view key) const { return metadata_.contains(key); }
  // Each throws UserError where the key is missing or of another type; number and numbers take integers too.
  bool flag(std::string_view key) const { return value<bool>(key, "true or false"); }
  int64_t integer(std::string_view key) const { return value<int64_t>(key, "an integer"); }
  double number(std::string_view key) const;
  const std::string& text(std::string_view key) const { return value<std::string>(key, "a text"); }
  const std::vector<int64_t>& integers(std::string_view key) const {
    return value<std::vector<int64_t>>(key, "an array of integers");
  }
  std::vector<double> numbers(std::string_view key) const;
  const std::vector<std::string>& texts(std::string_view key) const {
    return value<std::vector<std::string>>(key, "an array of texts");
  }
  // The same with a value for a missing key; a key of another type still throws.
  bool flag_or(std::string_view key, bool otherwise) const { return has(key) ? flag(key) : otherwise; }
  int64_t integer_or(std::string_view key, int64_t otherwise) const { return has(key) ? integer(key) : otherwise; }
  double number_or(std::string_view key, double otherwise) const { return has(key) ? number(key) : otherwise; }
  std::string text_or(std::string_view key, const std::string& otherwise) const {
    return has(key) ? text(key) : otherwise;
  }

  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // in file order
  const GgufTensor* find(std::string_view name) const;                 // nullptr: not there
  const std::string& name() const { return name_; }                    // the path, for messages

 private:
  template <class T>
  const T* value_if(std::string_view key) const {  // nullptr: missing, or of another type
    return has(key) ? std::get_if<T>(&metadata_.find(key)->second) : nullptr;
  }
  template <class T>
  const T& value(std::string_view key, const char* expected) const {
    if (!has(key)) user_error("{}: the metadata lack {}", name_, key);
    const T* typed = value_if<T>(key);
    if (!typed) user_error("{}: metadata {} is not {}", name_, key, expected);
    return *typed;
  }
  void parse(std::span<const std::byte> bytes);
  void place_tensors(std::span<const std::byte> data, const std::vector<uint64_t>& offsets, uint64_t alignment);

  std::unique_ptr<MappedFile> file_;
  std::string name_;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
};

// Values of one block, and the bytes it takes.
struct GgufBlock {
  int64_t values = 1;
  int64_t bytes = 4;
};
GgufBlock gguf_block(GgufType type);
bool is_read(uint32_t number);  // whether ggml's number is one of GgufType's

// Whole blocks → fp32; bytes.size() must be what values.size() values take.
void dequantize(GgufType type, std::span<const std::byte> bytes, std::span<float> values);

}  // namespace gaggle
