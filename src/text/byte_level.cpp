#include "text/byte_level.h"

#include <array>

#include "text/unicode.h"

namespace gaggle {
namespace {

constexpr int kLastChar = 0x143;  // 68 bytes are not printable by themselves: 0x100 … 0x143

struct Spelling {
  std::array<std::string, 256> of_byte;
  std::array<int, kLastChar + 1> byte_of{};
};

Spelling make_spelling() {
  Spelling spelling;
  spelling.byte_of.fill(-1);
  int other = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const int c = printable ? byte : other++;
    append_char(spelling.of_byte[static_cast<size_t>(byte)], static_cast<char32_t>(c));
    spelling.byte_of[static_cast<size_t>(c)] = byte;
  }
  return spelling;
}

const Spelling& spelling() {
  static const Spelling spelling = make_spelling();
  return spelling;
}

}  // namespace

std::string spell_bytes(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) text += spelling().of_byte[static_cast<unsigned char>(byte)];
  return text;
}

std::string unspell_bytes(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_char(text, at);
    const int byte = c <= kLastChar ? spelling().byte_of[c] : -1;
    if (byte < 0) return std::string(text);
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

}  // namespace gaggle
