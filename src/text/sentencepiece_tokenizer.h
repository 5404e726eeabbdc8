// tokenizer.model and spiece.model through SentencePiece, with tokenizer_config.json's added tokens
// and T5's sentinels.
#pragma once

#include <filesystem>
#include <memory>

#include "text/tokenizer.h"
#include "text/tokenizer_config.h"

namespace gaggle {

// Throws UserError that names the file. Every stretch between added tokens is a text of its own to
// SentencePiece (it gets the leading "▁"), as in the fast tokenizers converted from these files.
std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(const std::filesystem::path& path,
                                                        const TokenizerConfig& config);

}  // namespace gaggle
