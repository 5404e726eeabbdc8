// The token cache: one file per (examples, prompt, tokenizer, limits), named by its digest. Losing it costs time.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "data/tokens.h"

namespace gaggle {

// The task stored under `key`; nothing where there is none or the file is damaged.
std::optional<TokenTask> read_cached(const std::filesystem::path& folder, const std::string& key);

// Warns, once per process, where the folder cannot be written to.
void write_cached(const std::filesystem::path& folder, const std::string& key, const TokenTask& task);

}  // namespace gaggle
