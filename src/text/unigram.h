// The unigram language model of one word: the cut whose pieces' log-probabilities have the largest sum
// (Kudo 2018, "Subword Regularization"), by dynamic programming.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/token_ids.h"

namespace gaggle {

struct Unigram {
  TokenIds ids;                // every token, also those no text is cut into
  std::vector<double> scores;  // [tokens] log-probabilities by id
  ByteTrie pieces;             // what a word may be cut into → id
  int32_t unknown = 0;
  double unknown_score = 0;    // of a character that is no piece
  bool byte_fallback = false;  // unknown characters become "<0xE2>" tokens where the vocabulary has them
};

// Appends the tokens of `word` (valid UTF-8) as the tokenizers library picks them: sums in double precision
// from left to right, of equal sums the one whose last piece is longest;
// a run of unknown characters is one unknown token.
void append_tokens(const Unigram& unigram, std::string_view word, std::vector<int32_t>& tokens);

}  // namespace gaggle
