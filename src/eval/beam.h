// Beam search of one batch, as transformers' generate(num_beams=n, do_sample=False, early_stopping=False)
// of 4.57 does it.
#pragma once

#include "eval/decoding.h"

namespace gaggle {

// Writes the outputs of the prompts in `batch`; the decoding's cache is empty.
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
