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

// Feeds the last token of every sequence, whose token joins its past. Returns the logits [S, vocab] of the next.
at::Tensor feed_last_tokens(Decoding& decoding, std::vector<Sequence>& sequences);

// Beam search of one batch, as transformers' generate(num_beams=n, do_sample=False, early_stopping=False) of 4.57
// does it. Writes the outputs of the prompts in `batch`; the decoding's cache is empty.
//
// A step takes the 2n likeliest continuations of a prompt's n beams by their sums of log-probabilities; of
// equals the lower (beam, token). Those among the first n that end (with the end token, or because
// max_new_tokens are written) become hypotheses with score sum / length^length_penalty, the end token counted
// and the prompt not; the best n are kept. The first n that do not end are the next beams. The prompt is done
// when there are n hypotheses and the likeliest beam, scored at its present length, does not beat the worst of
// them; its output is the best. All beams read the prompt's tokens of the cache,
// and after a re-ordering each other's.
void generate_beams(Decoding& decoding, std::span<const size_t> batch, const GenerateOptions& options,
                    std::vector<std::vector<int32_t>>& outputs);

}  // namespace gaggle
