#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/error.h"
#include "text/pattern.h"

namespace gaggle {
namespace {

struct Sequence {
  size_t length = 1;  // of the character, or of the maximal ill-formed part
  bool valid = false;
};

// Table 3-7 of the Unicode standard: which second bytes a lead byte allows.
Sequence sequence_at(std::string_view bytes, size_t at) {
  const auto byte = [&](size_t i) -> unsigned { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = byte(at);
  if (lead < 0x80) return {1, true};
  if (lead < 0xC2 || lead > 0xF4) return {1, false};
  const size_t wanted = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  size_t length = 1;
  while (length < wanted && at + length < bytes.size() && byte(at + length) >= low && byte(at + length) <= high) {
    ++length;
    low = 0x80;
    high = 0xBF;
  }
  return {length, length == wanted};
}

}  // namespace

std::string valid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Sequence sequence = sequence_at(bytes, at);
    text += sequence.valid ? bytes.substr(at, sequence.length) : std::string_view("\uFFFD");
    at += sequence.length;
  }
  return text;
}

char32_t next_char(std::string_view text, size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  if (lead < 0x80) return lead;
  const int more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  char32_t c = lead & (0x3F >> more);
  for (int i = 0; i < more; ++i) c = c << 6 | (static_cast<unsigned char>(text[at++]) & 0x3F);
  return c;
}

void append_char(std::string& text, char32_t c) {
  utf8proc_uint8_t bytes[4];
  const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

void replace_every(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_word_char(char32_t c) {
  if (c == 0x200C || c == 0x200D) return true;
  // Circled and squared letters: Alphabetic by exception, category So.
  if ((c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
      (c >= 0x1F170 && c <= 0x1F189))
    return true;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  // In utf8proc's order: all letters, all marks, numbers that are digits or letters.
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) || category == UTF8PROC_CATEGORY_PC;
}

bool is_alphanumeric(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
         (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

std::string lower_case(std::string_view text) {
  static constexpr std::string_view sigma = "\u03A3";
  std::vector<size_t> final_sigmas;  // Final_Sigma of the Unicode standard's table 3-17
  if (text.find(sigma) != std::string_view::npos) {
    static const Pattern pattern(R"((?=\p{Cased})\P{Case_Ignorable}\p{Case_Ignorable}*+)" + std::string(sigma) +
                                 R"((?!\p{Case_Ignorable}*+\p{Cased}))");
    pattern.each_match(text, [&](size_t, size_t end) { final_sigmas.push_back(end - sigma.size()); });
  }
  std::string lower;
  auto next_final = final_sigmas.begin();
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_char(text, at);
    if (next_final != final_sigmas.end() && *next_final == start) {
      append_char(lower, U'\u03C2');
      ++next_final;
    } else if (c == U'\u0130') {
      lower += "i\u0307";
    } else {
      append_char(lower, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
  }
  return lower;
}

size_t last_char_start(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

size_t without_space_at_end(std::string_view text) {
  while (!text.empty()) {
    const size_t start = last_char_start(text);
    size_t at = start;
    if (!is_white_space(next_char(text, at))) break;
    text = text.substr(0, start);
  }
  return text.size();
}

size_t space_at_start(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    size_t next = at;
    if (!is_white_space(next_char(text, next))) break;
    at = next;
  }
  return at;
}

size_t grapheme_end(std::string_view text, size_t begin) {
  size_t at = begin;
  auto before = static_cast<utf8proc_int32_t>(next_char(text, at));
  utf8proc_int32_t state = 0;
  while (at < text.size()) {
    size_t behind = at;
    const auto c = static_cast<utf8proc_int32_t>(next_char(text, behind));
    if (utf8proc_grapheme_break_stateful(before, c, &state)) break;
    before = c;
    at = behind;
  }
  return at;
}

std::string normal_form(std::string_view text, NormalForm form) {
  const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::ranges::all_of(text, ascii)) return std::string(text);
  const bool compose = form == NormalForm::nfc || form == NormalForm::nfkc;
  const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
  const int options =
      UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) | (compatible ? UTF8PROC_COMPAT : 0);
  utf8proc_uint8_t* result = nullptr;
  const auto length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &result, static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(result, &std::free);
  GAGGLE_CHECK(length >= 0, "utf8proc: {}", utf8proc_errmsg(length));
  return {reinterpret_cast<const char*>(result), static_cast<size_t>(length)};
}

}  // namespace gaggle
