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

// `model`: of `type` (model_type). No word is cut into the special ones among `added`, nor into a Unigram's
// unknown token: they come from markup alone, as with SentencePiece's control pieces. (The tokenizers library
// leaves them in the Unigram's vocabulary, so that "＜/s＞", which NFKC makes "</s>", ends a text there.)
TokenModel read_model(const Json& model, const std::string& type, const std::vector<AddedToken>& added);

}  // namespace gaggle
