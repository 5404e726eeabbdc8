// From tokens' spellings back to text: the chain of decoders of the tokenizers library.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "text/pattern.h"

namespace gaggle {

struct ByteLevelDecoder {};     // "Ġ" → " "; bytes that are no UTF-8 become U+FFFD
struct ByteFallbackDecoder {};  // "<0xE2>" tokens in a row → the character they spell, else U+FFFD each
struct FuseDecoder {};          // all tokens become one
struct MetaspaceDecoder {
  std::string replacement;
  bool drop_first = true;  // in the first token it stood for nothing
};
struct ReplaceDecoder {
  Pattern pattern;
  std::string with;
};
struct StripDecoder {
  char32_t content = U' ';
  size_t start = 0, stop = 0;  // at most so many at either end of each token
};
using DecoderStep =
    std::variant<ByteLevelDecoder, ByteFallbackDecoder, FuseDecoder, MetaspaceDecoder, ReplaceDecoder, StripDecoder>;

std::string decode_tokens(const std::vector<DecoderStep>& steps, std::vector<std::string> tokens);

}  // namespace gaggle
