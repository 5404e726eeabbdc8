// What greedy generation and beam search share: sequences that grow by a token a pass over one key/value cache.
#pragma once

#include "eval/generate.h"

namespace gaggle {

// One batch of prompts being continued.
struct Decoding {
  BaseModel& base;
  SiteAdapter* adapter = nullptr;
  std::span<const GeneratePrompt> prompts;
  KeyValueCache cache;
};

// A sequence still being written.
struct Sequence {
  size_t prompt = 0;
  int64_t source = -1;          // the cache's sequence that cross-attention reads; -1: a decoder alone
  std::vector<int64_t> past;    // its tokens in the cache; beams of one prompt share them
  std::vector<int32_t> tokens;  // written so far; the last one is not fed yet
  double log_probability = 0;   // Σ over `tokens`, nats; only beam search fills it
};

// Feeds the prompts of `batch`: one sequence each comes into `sequences`. Returns the logits [S, vocab] of
// their first tokens.
at::Tensor feed_prompts(Decoding& decoding, std::span<const size_t> batch, std::vector<Sequence>& sequences);

// Feeds the last token of every sequence, whose token joins its past. Returns the logits [S, vocab] of the
// next.
at::Tensor feed_last_tokens(Decoding& decoding, std::vector<Sequence>& sequences);

}  // namespace gaggle
