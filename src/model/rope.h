// Rotary frequencies of a model, with its scaling.
#pragma once

#include <vector>

#include "formats/checkpoint.h"

namespace gaggle {

// Radians per position for each of the head_dim/2 pairs: theta^(-2i/head_dim), scaled as rope_scaling says
// ("linear": all divided by the factor; "llama3": only the long wavelengths, smoothly,
// as in Llama 3.1's reference).
std::vector<double> rope_frequencies(const ModelSpec& spec);

}  // namespace gaggle
