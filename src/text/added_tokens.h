// Added tokens ("<|im_start|>"): found in the text before the model sees it, as the tokenizers library does,
// but special ones and chat markers only where the text is markup.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/token_ids.h"
#include "text/tokenizer.h"

namespace gaggle {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // left out of decoded text, never found in plain text
  bool single_word = false;  // only where no letter or digit touches it
  bool lstrip = false;       // swallows the white space before it
  bool rstrip = false;
  bool normalized = false;  // looked for in the normalised text
};

// Special tokens and the markers of chat formats, whatever their flags say.
bool only_in_markup(const AddedToken& token);

struct TextRange {
  size_t begin = 0, end = 0;
};

// The pieces of a text as one, and which stretches of it are markup.
struct MarkedText {
  std::string text;               // valid UTF-8
  std::vector<TextRange> markup;  // sorted, none empty, none touching the next
};
MarkedText joined(std::span<const TextPiece> pieces);
MarkedText cut(const MarkedText& all, size_t begin, size_t end);

struct TextPart {
  int32_t id = -1;  // -1: ordinary text
  size_t begin = 0, end = 0;
};

class AddedTokenFinder {
 public:
  // `spelling` is how the token stands in the text, normalised or not.
  void add(const AddedToken& token, std::string_view spelling);
  bool empty() const { return tokens_.empty(); }
  // Cuts the text at added tokens: leftmost, then longest.
  std::vector<TextPart> split(const MarkedText& marked) const;

 private:
  struct Match {
    const AddedToken* token = nullptr;
    size_t end = 0;
  };
  Match longest_at(std::string_view text, size_t at, size_t markup_end) const;

  std::vector<AddedToken> tokens_;
  std::array<bool, 256> first_byte_{};
  ByteTrie spelled_;  // → index into tokens_
};

// What decides a tokenizer's ids, as one SHA-256. `model`: a digest of vocabulary, merges, normaliser and
// pre-tokeniser.
std::string token_digest(const std::string& model, const std::vector<AddedToken>& added, const Tokenizer& tokenizer);

}  // namespace gaggle
