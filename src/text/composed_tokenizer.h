// A tokenizer put together from its parts, as tokenizer.json and GGUF metadata describe them:
// added tokens → normalizer → pre-tokenizer → model, and the decoders back.
#pragma once

#include <memory>
#include <variant>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/unigram.h"

namespace gaggle {

using TokenModel = std::variant<Bpe, Unigram>;

struct TokenizerParts {
  TokenModel model;
  std::vector<AddedToken> added;
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  bool byte_level = false;           // words are spelled in bytes before the model sees them
  std::vector<DecoderStep> decoder;  // empty: tokens are joined by spaces
};

// Prefix, suffix, bos, eos and digest are left to the caller.
std::unique_ptr<Tokenizer> compose_tokenizer(TokenizerParts parts);

}  // namespace gaggle
