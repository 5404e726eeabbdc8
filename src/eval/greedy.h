// Greedy generation of one batch: the likeliest token each time, the first of equals.
#pragma once

#include "eval/decoding.h"

namespace gaggle {

// Writes the outputs of the prompts in `batch`; the decoding's cache is empty.
void generate_greedy(Decoding& decoding, std::span<const size_t> batch, const GenerateOptions& options,
                     std::vector<std::vector<int32_t>>& outputs);

}  // namespace gaggle
