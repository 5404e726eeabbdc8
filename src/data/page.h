// A task's tokenised examples as a page for people.
#pragma once

#include <string>

#include "data/tokens.h"
#include "text/tokenizer.h"

namespace gaggle {

// How many examples and tokens there are and what was cut, then the first `shown` examples with their tokens one by one,
// so that a reader sees where they part.
std::string examples_page(const TokenTask& task, Split split, size_t shown, const Tokenizer& tokenizer);

// What the prompt is, whichever part of the model reads it.
const std::vector<int32_t>& shown_input(const TokenExample& example);

}  // namespace gaggle
