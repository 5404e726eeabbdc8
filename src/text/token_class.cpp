#include "text/token_class.h"

#include <utf8proc.h>

#include "text/unicode.h"

namespace gaggle {
namespace {

enum class CharClass { space, letter, digit, sign, other };

CharClass class_of_char(char32_t c) {
  if (is_white_space(c)) return CharClass::space;
  // In utf8proc's order: letters and marks; numbers; connectors, dashes, brackets, quotes, other punctuation, and the signs
  // of mathematics, currencies and accents.
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_ME) return CharClass::letter;
  if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) return CharClass::digit;
  if (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_SK) return CharClass::sign;
  return CharClass::other;
}

}  // namespace

TokenClasses::TokenClasses(const Tokenizer& tokenizer)
    : tokenizer_(tokenizer), before_(tokenizer.encode_plain("a")), before_text_(tokenizer.decode(before_)) {}

TokenClasses::Piece TokenClasses::read_piece(const std::string& text) {
  Piece piece{valid_utf8(text)};
  if (text.empty()) return piece;
  bool has_letter = false, has_digit = false, has_sign = false, has_other = false;
  CharClass last = CharClass::space;
  for (size_t at = 0; at < piece.text.size();) {
    const bool first = at == 0;
    last = class_of_char(next_char(piece.text, at));
    piece.spaced = piece.spaced || (first && last == CharClass::space);
    has_letter = has_letter || last == CharClass::letter;
    has_digit = has_digit || last == CharClass::digit;
    has_sign = has_sign || last == CharClass::sign;
    has_other = has_other || last == CharClass::other;
  }
  piece.ends_in_word = last == CharClass::letter || last == CharClass::digit;
  piece.kind = has_letter  ? TokenClass::word_start
               : has_digit ? TokenClass::number
               : has_other ? TokenClass::other
               : has_sign  ? TokenClass::punctuation
                           : TokenClass::white_space;
  return piece;
}

const TokenClasses::Piece& TokenClasses::piece(int32_t id) {
  const auto known = pieces_.find(id);
  if (known != pieces_.end()) return known->second;
  std::vector<int32_t> ids = before_;
  ids.push_back(id);
  const std::string text = tokenizer_.decode(ids);
  const bool behind = text.starts_with(before_text_);
  return pieces_[id] = read_piece(behind ? text.substr(before_text_.size()) : tokenizer_.decode({&id, 1}));
}

std::vector<TokenClass> TokenClasses::classes_of(std::span<const int32_t> sequence) {
  std::vector<TokenClass> classes;
  bool in_word = false;
  for (const int32_t id : sequence) {
    const Piece& of = piece(id);
    const bool continues = of.kind == TokenClass::word_start && !of.spaced && in_word;
    classes.push_back(continues ? TokenClass::word_continuation : of.kind);
    in_word = of.ends_in_word;
  }
  return classes;
}

}  // namespace gaggle
