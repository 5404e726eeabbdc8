// tokenizer.json, the file of the Hugging Face tokenizers library, for BPE and Unigram models.
#pragma once

#include <filesystem>
#include <memory>

#include "text/json_file.h"
#include "text/json_model.h"
#include "text/tokenizer.h"
#include "text/tokenizer_config.h"

namespace gaggle {

// added_tokens of the file and of `config`, with the ids and flags that transformers comes to. Throws UserError without
// a file's name.
std::vector<AddedToken> read_added_tokens(const Json& root, const KnownTokens& vocabulary,
                                          const TokenizerConfig& config);

// Throws UserError that names the file and the component that is not supported or not well-formed.
std::unique_ptr<Tokenizer> tokenizer_from_json(const std::filesystem::path& path, const Json& root,
                                               const TokenizerConfig& config);

}  // namespace gaggle
