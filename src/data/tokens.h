// Examples as token ids, as training and evaluation see them; cached on disk by content.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/prompt.h"
#include "data/task.h"
#include "text/tokenizer.h"

namespace gaggle {

struct TokenExample {
  std::string id;
  std::vector<int32_t> source;  // what an encoder reads: the prompt in the tokenizer's prefix and suffix
  // What the decoder is fed before the target: the prompt with the tokenizer's prefix, or, where an encoder has
  // read it, the token that decoders start with. Never empty.
  std::vector<int32_t> input;
  std::vector<int32_t> target;                  // output, then the end token
  std::vector<std::vector<int32_t>> choices;    // each with the end token; empty: none
  int32_t answer = -1;                          // index of the output among the choices
  bool cut = false;                             // longer than the limits: shortened by data.truncate
  std::vector<int64_t> choice_characters = {};  // of the choices as the task file writes them: Unicode code points
};

struct TokenTask {
  std::string name, metric;
  std::array<std::vector<TokenExample>, 3> splits;
  int64_t examples_cut = 0;
  int64_t shots_left_out = 0;  // so that prompts keep within the limit
  int32_t end_id = -1;
  std::string digest;          // of the name and the ids of every example of every split: part of an expert's key
  std::string group;           // the dataset whose template the task is; "": of none
  std::string category;        // as its NAME.toml has it; "": it says none
  std::string foreign_format;  // a sentence where the prompt is another chat format than the model's own; "": it is not
  const std::vector<TokenExample>& examples(Split split) const { return splits[static_cast<size_t>(split)]; }
};

struct TokenizeOptions {
  std::string prompt;                                   // the run's template or chat format
  std::string end;                                      // data.end
  std::string truncate;                                 // left | right
  int64_t max_input_tokens = 0, max_target_tokens = 0;  // 0: no limit
  std::filesystem::path cache;                          // "": none
  int32_t decoder_start = -1;                           // of an encoder-decoder; -1: a decoder alone
  int64_t vocab = 0;                                    // ids that the model has; 0: not asked
  std::function<void()> heed = {};                      // called for each example; may throw
};

// Order of examples is that of the file. Throws UserError: unknown placeholder or format, no end token, a
// prompt without tokens, choices that the limit makes equal, a token beyond the model's vocabulary. Of an example's shots
// the first are left out, as many as it takes to keep the prompt within max_input_tokens; none of them is cut.
TokenTask tokenize_task(const Task& task, const Tokenizer& tokenizer, const TokenizeOptions& options);

// A prompt as the model is fed: a template with the tokenizer's prefix before it (not twice where the template
// writes it itself); a chat format as apply_chat_template gives it, which writes BOS where its family does.
struct PromptIds {
  std::vector<int32_t> ids;
  int64_t kept = 0;  // so many at the front stay when the prompt is cut from the left
};
PromptIds prompt_ids(const Prompt& prompt, const std::vector<Message>& messages, const std::string& definition,
                     const Tokenizer& tokenizer, const std::string& where, std::span<const Example* const> shots = {});

// Cuts to `limit` ids (0: none): "left" drops the first that are not kept, "right" the last. True if it cut.
bool cut_prompt(PromptIds& prompt, int64_t limit, const std::string& truncate);

// data.end: "" (the tokenizer's EOS), the text of a token, or "id:N". Throws UserError.
int32_t end_token(const Tokenizer& tokenizer, const std::string& end);

}  // namespace gaggle
