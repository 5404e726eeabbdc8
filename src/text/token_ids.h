// Ids by spelling.
#pragma once

#include <cstdint>
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

// Appends the tokens "<0xE2>" … of the bytes of `text`; false, and nothing appended, where one is missing.
bool append_byte_tokens(const TokenIds& ids, std::string_view text, std::vector<int32_t>& tokens);

}  // namespace gaggle
