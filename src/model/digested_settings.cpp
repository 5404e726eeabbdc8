#include "model/digested_settings.h"

#include <algorithm>

#include "base/error.h"

namespace gaggle {
namespace {

// Numbers are cut so that a GGUF file, which holds fp32, says the same as a config.json. llama3's three lengths have a
// common scale that changes nothing: a GGUF file's are found by a fit.
std::string position_settings(const ModelSpec& spec) {
  std::string text;
  const RopeScaling& rope = spec.rope_scaling;
  if (spec.rope_theta != 10000) text += fmt::format(" theta {:.6g}", spec.rope_theta);
  if (rope.type == "linear") text += fmt::format(" linear {:.6g}", rope.factor);
  if (rope.type == "llama3") {
    const auto length = static_cast<double>(rope.original_max_position);
    text += fmt::format(" llama3 {:.4g} {:.4g} {:.4g}", rope.factor, length / rope.low_freq_factor,
                        length / rope.high_freq_factor);
  }
  const bool default_window = spec.model_type == "mistral" && spec.sliding_window == 4096;
  if (spec.sliding_window > 0 && spec.slides.empty() && !default_window)
    text += fmt::format(" window {}", spec.sliding_window);
  return text;
}

// By the length that a config names, so that a setting taken out of one is seen: "remove rope_scaling".
bool as_published(const ModelSpec& spec, const std::string& settings) {
  struct Published {
    int64_t max_positions;
    const char* settings;
  };
  static const Published all[] = {
      {8192, " theta 500000"},                        // Llama 3
      {131072, " theta 500000 llama3 8 8192 2048"},   // Llama 3.1, 3.3
      {131072, " theta 500000 llama3 32 8192 2048"},  // Llama 3.2
      {16384, " theta 1e+06"},                        // Code Llama
      {8192, " theta 100000"},                        // SmolLM2, 135M and 360M
      {8192, " theta 130000"},                        // SmolLM2, 1.7B
      {32768, " theta 1e+06"},                        // Mistral 0.2 and 0.3, Qwen2, Qwen2.5, Qwen3's bases
      {1024000, " theta 1e+06"},                      // Mistral Nemo
      {40960, " theta 1e+06"},                        // Qwen3
      {131072, " theta 1e+06"},                       // Qwen2 and Qwen2.5, bases from 1.5B on
      {262144, " theta 5e+06"},                       // Qwen3 of July 2025
  };
  return std::ranges::any_of(all, [&](const Published& model) {
    return model.max_positions == spec.max_positions && model.settings == settings;
  });
}

}  // namespace

std::string digested_settings(const ModelSpec& spec) {
  std::string text;
  const RopeScaling& rope = spec.rope_scaling;
  if (rope.type == "yarn")
    text += fmt::format(" yarn {} {} {} {} {} {}", rope.factor, rope.original_max_position, rope.beta_fast,
                        rope.beta_slow, rope.truncate, rope.attention_factor);
  if (!spec.slides.empty()) text += fmt::format(" window {}", spec.sliding_window);
  for (const bool slides : spec.slides) text += slides ? " sliding" : " full";
  const std::string position = position_settings(spec);
  return as_published(spec, position) ? text : text + position;
}

}  // namespace gaggle
