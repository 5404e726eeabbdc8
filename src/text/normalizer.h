// What happens to a text before it is cut into words: Unicode normal forms, a prepended character,
// replacements.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

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
using NormalizerStep = std::variant<NormalForm, PrependText, ReplaceText>;

std::string normalize(const std::vector<NormalizerStep>& steps, std::string_view text);

}  // namespace gaggle
