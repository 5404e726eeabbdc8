#include "model/digested_settings.h"

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
  if (spec.sliding_window > 0 && spec.slides.empty()) text += fmt::format(" window {}", spec.sliding_window);
  return text;
}

}  // namespace

std::string digested_settings(const ModelSpec& spec) {
  std::string text;
  const RopeScaling& rope = spec.rope_scaling;
  if (rope.type == "yarn")
    text += fmt::format(" yarn {} {} {} {} {} {}", rope.factor, rope.original_max_position, rope.beta_fast,
                        rope.beta_slow, rope.truncate, rope.attention_factor);
  if (rope.by_length())
    text += fmt::format(" {} {} {} {} {} {}", rope.type, rope.factor, rope.original_max_position, rope.attention_factor,
                        fmt::join(rope.short_factors, ","), fmt::join(rope.long_factors, ","));
  if (!spec.slides.empty()) text += fmt::format(" window {}", spec.sliding_window);
  for (const bool slides : spec.slides) text += slides ? " sliding" : " full";
  return text + position_settings(spec);
}

}  // namespace gaggle
