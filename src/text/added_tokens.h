// Added tokens ("<|im_start|>"): found in the text before the model sees it, as the tokenizers library does,
// but special ones and chat markers only where the text is markup.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"

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

struct TextPart {
  int32_t id = -1;  // -1: ordinary text
  size_t begin = 0, end = 0;
};

class AddedTokenFinder {
 public:
  AddedTokenFinder() = default;
  // `spellings[i]` is how tokens[i] stands in the text (normalised or not).
  AddedTokenFinder(std::vector<AddedToken> tokens, const std::vector<std::string>& spellings);
  bool empty() const { return tokens_.empty(); }
  // Cuts `text` at added tokens: leftmost, then longest. `markup`: sorted ranges that do not touch each other.
  std::vector<TextPart> split(std::string_view text, const std::vector<TextRange>& markup) const;

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

}  // namespace gaggle
