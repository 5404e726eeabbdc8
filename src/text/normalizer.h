// What happens to a text before it is cut into words: Unicode normal forms, a prepended character,
// replacements, white space at the ends.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/charsmap.h"
#include "text/pattern.h"
#include "text/unicode.h"

namespace gaggle {

struct PrependText {
  std::string text;  // put before every text that is not empty
};
struct ReplaceText {
  Pattern pattern;
  std::string with;
};
struct StripSpace {
  bool left = true, right = true;
};
struct NmtRule {};  // some controls left out, white space and its like → " " (the rule "nmt" of SentencePiece)
using NormalizerStep = std::variant<NormalForm, PrependText, ReplaceText, StripSpace, NmtRule, Charsmap>;

std::string normalize(const std::vector<NormalizerStep>& steps, std::string_view text);

}  // namespace gaggle
