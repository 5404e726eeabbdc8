// The "model" of tokenizer.json: the vocabulary and how a word is cut into it.
#pragma once

#include <string>
#include <vector>

#include "text/composed_tokenizer.h"
#include "text/json_file.h"

namespace gaggle {

// "BPE", "Unigram", … of the whole file
std::string model_type(const Json& root);

// A token's id. Throws UserError, without a file's name, as read_model does.
int32_t read_id(const Json& node, const std::string& token);

// `model`: of `type` (model_type). A Unigram's pieces are listed by index_pieces, once its added tokens are known.
TokenModel read_model(const Json& model, const std::string& type);

// No word is cut into the special ones among `added`, nor into a Unigram's unknown token: they come from markup alone,
// as with SentencePiece's control pieces. (The tokenizers library leaves them in the Unigram's vocabulary, so that
// "＜/s＞", which NFKC makes "</s>", ends a text there.) Nothing to do for BPE.
void index_pieces(TokenModel& model, const std::vector<AddedToken>& added);

struct KnownTokens {
  const TokenIds& ids;
  int32_t count;  // its entries: the first added token that is not among them gets this id
};
KnownTokens known_tokens(const TokenModel& model);

}  // namespace gaggle
