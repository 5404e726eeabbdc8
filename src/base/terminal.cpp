#include "base/terminal.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/screen.h"

namespace gaggle {
namespace {

// A piece of a text: a whole character of UTF-8, or a byte that is part of none.
struct Piece {
  std::string_view bytes;
  char32_t character = 0;
  bool is_valid = false;
};

Piece piece_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  const size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (length == 0 || at + length > text.size()) return {text.substr(at, 1)};
  char32_t c = length == 1 ? lead : lead & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {text.substr(at, 1)};
    c = c << 6 | (byte(i) & 0x3F);
  }
  constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_valid = c >= smallest[length] && c <= 0x10FFFF && !(c >= 0xD800 && c < 0xE000);
  return is_valid ? Piece{text.substr(at, length), c, true} : Piece{text.substr(at, 1)};
}

// Marks and overrides of the direction of writing: what stands behind them reads otherwise than it is.
bool turns_direction(char32_t c) {
  return (c >= 0x200E && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

void append_visible(std::string& out, const Piece& piece, bool one_line) {
  const char32_t c = piece.character;
  if (!piece.is_valid) {
    out += fmt::format("\\x{:02x}", static_cast<unsigned char>(piece.bytes[0]));
  } else if (c == '\n' || c == '\t') {
    out += !one_line ? piece.bytes : c == '\n' ? "\\n" : "\\t";
  } else if (c < 0x20 || (c >= 0x7F && c < 0xA0)) {
    out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
  } else if (one_line && turns_direction(c)) {
    out += fmt::format("\\u{{{:x}}}", static_cast<uint32_t>(c));
  } else {
    out += piece.bytes;
  }
}

std::string cut_and_visible(std::string_view text, size_t most, bool one_line) {
  std::string out;
  size_t at = 0;
  for (size_t count = 0; at < text.size() && count < most; ++count) {
    const Piece piece = piece_at(text, at);
    append_visible(out, piece, one_line);
    at += piece.bytes.size();
  }
  return at < text.size() ? out + "…" : out;
}

}  // namespace

bool is_valid_utf8(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const Piece piece = piece_at(bytes, at);
    if (!piece.is_valid) return false;
    at += piece.bytes.size();
  }
  return true;
}

std::string visible(std::string_view text, size_t most) { return cut_and_visible(text, most, /*one_line=*/false); }
std::string shown(std::string_view text, size_t most) { return cut_and_visible(text, most, /*one_line=*/true); }
std::string in_quotes(std::string_view text, size_t most) { return "\"" + shown(text, most) + "\""; }

void write_out(std::string_view text) {
  const std::string safe = visible(text);
  const AsideForText aside(safe);
  if (std::fwrite(safe.data(), 1, safe.size(), stdout) == safe.size() && std::fflush(stdout) == 0) return;
  system_error("standard output cannot be written ({})", std::strerror(errno));
}

}  // namespace gaggle
