// NLL of continuations of prompts: several continuations of one prompt share one pass over it (and over what
// an encoder reads), unless positions are turned by the length of a text and theirs are turned apart.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model/base_model.h"

namespace gaggle {

struct Question {
  std::span<const int32_t> source;                      // what an encoder reads; empty: a decoder alone
  std::span<const int32_t> prompt;                      // what the decoder is fed first, not empty
  std::vector<std::span<const int32_t>> continuations;  // none of them empty
};

struct ContinuationScore {
  double nll = 0;  // Σ over its tokens, nats
  int64_t tokens = 0;
  double mean() const { return nll / static_cast<double>(tokens); }
};

// [questions][continuations], in the order given. Batches are cut by length under `token_budget` tokens (one
// question at least); results do not depend on the cut but by rounding. `between` is called between batches and
// may throw.
std::vector<std::vector<ContinuationScore>> score_continuations(BaseModel& base, SiteAdapter* adapter,
                                                                std::span<const Question> questions,
                                                                int64_t token_budget,
                                                                const std::function<void()>& between);

// Indices 0 … lengths.size()-1 by (length, index), cut into batches of at most `budget` in all.
std::vector<std::vector<size_t>> batches_by_length(std::span<const int64_t> lengths, int64_t budget);

}  // namespace gaggle
