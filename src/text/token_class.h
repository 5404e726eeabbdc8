// What kind of token it is, for people: by the text that it stands for, and by the token before it.
#pragma once

#include <array>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace gaggle {

enum class TokenClass { special, word_start, word_continuation, number, punctuation, white_space, other };
inline constexpr std::array<const char*, 7> token_class_names = {
    "special", "word start", "word continuation", "number", "punctuation", "white space", "other"};

// Texts and classes of tokens. Each token is decoded once.
class TokenClasses {
 public:
  explicit TokenClasses(const Tokenizer& tokenizer);  // which lives longer

  // What the token adds to a text that it stands in: " dog", "s", "\n"; "" of special tokens. Where it holds a part of a
  // character alone, there is U+FFFD.
  const std::string& text_of(int32_t id) { return piece(id).text; }

  // The first that fits: special: it has no text; white space: nothing else is in it; a word: it has a letter (or a mark),
  // and continues one where it begins with no white space, right behind a token that ends in a letter or digit; number: it
  // has a digit; punctuation: signs alone (Unicode's P, Sm, Sc, Sk), white space aside; other: what is left, as parts of
  // characters and pictures.
  std::vector<TokenClass> classes_of(std::span<const int32_t> sequence);

 private:
  struct Piece {
    std::string text;
    TokenClass kind = TokenClass::special;  // of a word as if it began one
    bool spaced = false;                    // it begins with white space
    bool ends_in_word = false;              // its last character is a letter or a digit
  };
  static Piece read_piece(const std::string& text);
  const Piece& piece(int32_t id);

  const Tokenizer& tokenizer_;
  std::vector<int32_t> before_;  // a word to stand behind: some decoders drop the white space that a text begins with
  std::string before_text_;
  std::map<int32_t, Piece> pieces_;
};

}  // namespace gaggle
