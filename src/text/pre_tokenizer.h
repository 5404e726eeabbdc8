// Cuts a text into the words that the model encodes one by one.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/pattern.h"

namespace gaggle {

// What becomes of the stretches that a pattern matches (names of the tokenizers library).
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

struct SplitStep {
  Pattern pattern;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;  // the pattern describes what is between the matches
};
struct PrefixSpaceStep {};  // ByteLevel's add_prefix_space
struct MetaspaceStep {
  enum class Prepend { always, first, never };
  std::string replacement;  // of " "
  Prepend prepend = Prepend::always;
  bool split = true;
};
using PreTokenizerStep = std::variant<SplitStep, PrefixSpaceStep, MetaspaceStep>;

struct Words {
  std::vector<std::string_view> words;  // none is empty
  std::deque<std::string> changed;      // owns the words that are no part of the text
};

// `first`: nothing stands before `text` (Metaspace's "first").
Words pre_tokenize(const std::vector<PreTokenizerStep>& steps, std::string_view text, bool first);

}  // namespace gaggle
