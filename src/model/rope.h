// The frequencies of rotary positions, scaled as a model's rope_scaling says.
#pragma once

#include <vector>

#include "formats/checkpoint.h"

namespace gaggle {

// Radians per position for each of the head_dim/2 pairs, in a text of `length` tokens: theta^(-2i/head_dim), scaled.
// linear: all divided; llama3: only the long wavelengths, smoothly, as in Llama 3.1's reference; yarn: by its ramp;
// dynamic: theta grows with the length beyond the original one; longrope: divided by the length's factors.
std::vector<double> rope_frequencies(const ModelSpec& spec, int64_t length);

}  // namespace gaggle
