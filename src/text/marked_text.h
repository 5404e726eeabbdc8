// The pieces of a text as one, and which stretches of it are markup.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "text/added_tokens.h"
#include "text/tokenizer.h"

namespace gaggle {

struct MarkedText {
  std::string text;               // valid UTF-8
  std::vector<TextRange> markup;  // sorted, none empty, none touching the next
};

MarkedText joined(std::span<const TextPiece> pieces);
MarkedText cut(const MarkedText& all, size_t begin, size_t end);

}  // namespace gaggle
