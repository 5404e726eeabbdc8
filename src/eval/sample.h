// Drawing the next token of an answer instead of taking the likeliest.
#pragma once

#include <cstdint>
#include <span>

namespace gaggle {

struct TokenSampling {
  double temperature = 0;  // 0: the likeliest token, nothing is drawn
  int64_t top_k = 0;       // among the k likeliest tokens; 0: among all
  double top_p = 1;        // among the fewest likeliest tokens that have this share of the probability of those
  uint64_t seed = 0;
};

// The token that u in (0, 1) falls on where tokens lie side by side, the likeliest first (of equals the lower id), each as wide
// as its share of softmax(logits / temperature) among those that top_k and then top_p leave. In double.
int32_t sample_token(std::span<const float> logits, const TokenSampling& sampling, double u);
// u of the step-th token of the prompt-th answer: keyed by these and the seed alone.
double sampling_draw(const TokenSampling& sampling, uint64_t prompt, uint64_t step);

}  // namespace gaggle
