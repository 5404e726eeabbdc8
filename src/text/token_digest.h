// What decides a tokenizer's ids, as one SHA-256.
#pragma once

#include <string>
#include <vector>

#include "text/added_tokens.h"
#include "text/tokenizer.h"

namespace gaggle {

// `model`: a digest of vocabulary, merges, normaliser and pre-tokeniser.
std::string token_digest(const std::string& model, const std::vector<AddedToken>& added,
                         const Tokenizer& tokenizer);

}  // namespace gaggle
