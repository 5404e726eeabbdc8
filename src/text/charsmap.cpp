#include "text/charsmap.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/error.h"
#include "base/terminal.h"
#include "text/unicode.h"

namespace gaggle {
namespace {

std::string from_base64(std::string_view text) {
  std::string bytes(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) user_error("this is not base64");
  const int padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;  // it counts them as bytes
  bytes.resize(static_cast<size_t>(size - padding));
  return bytes;
}

uint32_t little_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// A unit of darts-clone's double array: bits 0-7 and 31 label, bit 8 "a key ends here", bits 9-31 offset;
// a leaf's unit is the key's value (darts.h, DoubleArrayUnit).
uint32_t label(uint32_t unit) { return unit & (1u << 31 | 0xFF); }
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }
uint32_t leaf_value(uint32_t unit) { return unit & ~(1u << 31); }

}  // namespace

Charsmap::Charsmap(std::string_view base64) {
  const std::string bytes = from_base64(base64);
  const size_t size = bytes.size() < 4 ? 0 : little_endian(bytes, 0);
  if (size == 0 || size % 4 != 0 || size > bytes.size() - 4)
    user_error("the {} bytes are no trie with its replacements", bytes.size());
  for (size_t at = 0; at < size; at += 4) trie_.push_back(little_endian(bytes, 4 + at));
  replacements_ = bytes.substr(4 + size);
  if (!is_valid_utf8(replacements_)) user_error("the replacements are not UTF-8");
  // The longest that Unicode has is 33 bytes for one character.
  for (size_t begin = 0, end; begin < replacements_.size(); begin = end + 1) {
    end = std::min(replacements_.find('\0', begin), replacements_.size());
    if (end - begin > 1000) user_error("a replacement of {} bytes; expected some characters", end - begin);
  }
}

std::optional<std::string_view> Charsmap::replacement(std::string_view characters) const {
  size_t at = offset(unit(0));
  for (const char c : characters) {
    const auto byte = static_cast<unsigned char>(c);
    at ^= byte;
    const uint32_t node = unit(at);
    if (byte == 0 || label(node) != byte) return std::nullopt;
    at ^= offset(node);
    if (!has_leaf(node)) continue;
    const size_t begin = leaf_value(unit(at));
    if (begin >= replacements_.size()) return std::nullopt;
    return std::string_view(replacements_).substr(begin, replacements_.find('\0', begin) - begin);
  }
  return std::nullopt;
}

std::string Charsmap::apply(std::string_view text) const {
  constexpr size_t kLongest = 5;  // bytes of a cluster that is looked up as a whole
  std::string result;
  result.reserve(text.size());
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = grapheme_end(text, begin);
    const auto whole = end - begin <= kLongest ? replacement(text.substr(begin, end - begin)) : std::nullopt;
    if (whole) result += *whole;
    for (size_t at = begin; !whole && at < end;) {
      const size_t start = at;
      next_char(text, at);
      const std::string_view character = text.substr(start, at - start);
      result += replacement(character).value_or(character);
    }
    begin = end;
  }
  return result;
}

}  // namespace gaggle
