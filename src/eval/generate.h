// Generation over prompts with a key/value cache: greedily, by drawing tokens, or by beam search.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "config/config.h"
#include "eval/sample.h"
#include "model/base_model.h"

namespace gaggle {

struct GeneratePrompt {
  std::span<const int32_t> source;  // what an encoder reads; empty: a decoder alone
  std::span<const int32_t> input;   // what the decoder is fed first, not empty
};

struct GenerateOptions {
  int64_t max_new_tokens = 32;
  int64_t beams = 1;                   // 1: a token at a time
  TokenSampling sampling = {};              // without beams
  double length_penalty = 1;           // of beam search (decoding.h)
  int32_t end = -1;                    // an output stops before this token; -1: there is none
  int64_t token_budget = 2048;         // prompt and new tokens of one batch
  std::function<void()> between = {};  // called before every pass; may throw
  // Called for every token of an output once it is certain: as it comes, of beams when its prompt is done.
  std::function<void(size_t prompt, int32_t token)> on_token = {};
};

// What a config says of it: length, beams, penalty.
GenerateOptions generate_options(const EvalConfig& eval);

// New tokens of every prompt, in the order given. Batches are cut by length; outputs do not depend on the cut
// but by rounding.
std::vector<std::vector<int32_t>> generate(BaseModel& base, SiteAdapter* adapter,
                                           std::span<const GeneratePrompt> prompts, const GenerateOptions& options);

}  // namespace gaggle
