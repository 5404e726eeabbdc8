// Rows as token ids, as training and evaluation see them; cached on disk by content.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/task.h"
#include "text/tokenizer.h"

namespace gaggle {

struct TokenRow {
  std::string id;
  std::vector<int32_t> input;                 // prompt with the tokenizer's prefix
  std::vector<int32_t> target;                // output, then the end token
  std::vector<std::vector<int32_t>> choices;  // each with the end token; empty: none
  int32_t answer = -1;                        // index of the output among the choices
  bool cut = false;                           // longer than the limits: shortened by data.truncate
};

struct TokenTask {
  std::string name, metric;
  std::array<std::vector<TokenRow>, 3> splits;
  int64_t rows_cut = 0;
  int32_t end_id = -1;
  std::string digest;  // of names, ids of every row of every split: part of an expert's key
  const std::vector<TokenRow>& rows(Split split) const { return splits[static_cast<size_t>(split)]; }
};

struct TokenizeOptions {
  std::string prompt;     // the run's template or chat format
  std::string end;        // data.end
  std::string truncate;   // left | right
  int64_t max_input_tokens = 0, max_target_tokens = 0;
  std::filesystem::path cache;  // "": none
};

// Order of rows is that of the file. Throws UserError: unknown placeholder or format, no end token, empty output.
TokenTask tokenize_task(const Task& task, const Tokenizer& tokenizer, const TokenizeOptions& options);

}  // namespace gaggle
