// The tokenizer inside a GGUF file: tokenizer.ggml.model "gpt2" (byte-level BPE, cut as tokenizer.ggml.pre
// says) and "llama" (SentencePiece's BPE: tokens with scores).
#pragma once

#include <filesystem>
#include <memory>

#include "text/tokenizer.h"

namespace gaggle {

// Throws UserError that names the file and the kind that is not supported.
std::unique_ptr<Tokenizer> tokenizer_from_gguf(const std::filesystem::path& path);

}  // namespace gaggle
