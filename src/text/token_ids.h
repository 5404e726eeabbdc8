// Ids by spelling: looked up whole, or walked byte by byte.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gaggle {

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using TokenIds = std::unordered_map<std::string, int32_t, TextHash, std::equal_to<>>;

std::optional<int32_t> find_id(const TokenIds& ids, std::string_view token);

// Appends the tokens "<0xE2>" … of the bytes of `text`; false, and nothing appended, where one is missing.
bool append_byte_tokens(const TokenIds& ids, std::string_view text, std::vector<int32_t>& tokens);

// Byte strings with a number each.
class ByteTrie {
 public:
  static constexpr uint32_t kRoot = 0;
  void insert(std::string_view bytes, int32_t value);  // the last of equal strings stays
  std::optional<uint32_t> next(uint32_t node, char byte) const;
  int32_t value(uint32_t node) const { return values_[node]; }  // -1: no string ends here

 private:
  static uint64_t edge(uint32_t node, char byte) {
    return static_cast<uint64_t>(node) << 8 | static_cast<unsigned char>(byte);
  }
  std::unordered_map<uint64_t, uint32_t> next_;  // (node, byte) → node
  std::vector<int32_t> values_ = {-1};           // [nodes]
};

}  // namespace gaggle
