#include "model/rope.h"

#include <cmath>
#include <numbers>

#include "base/error.h"

namespace gaggle {
namespace {

double llama3(double frequency, const RopeScaling& scaling) {
  const double original = static_cast<double>(scaling.original_max_position);
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < original / scaling.high_freq_factor) return frequency;
  if (wavelength > original / scaling.low_freq_factor) return frequency / scaling.factor;
  const double smooth =
      (original / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

}  // namespace

std::vector<double> rope_frequencies(const ModelSpec& spec) {
  const RopeScaling& scaling = spec.rope_scaling;
  std::vector<double> frequencies;
  for (int64_t i = 0; i < spec.head_dim; i += 2) {
    double f = std::pow(spec.rope_theta, -static_cast<double>(i) / static_cast<double>(spec.head_dim));
    if (scaling.type == "linear")
      f /= scaling.factor;
    else if (scaling.type == "llama3")
      f = llama3(f, scaling);
    else if (!scaling.type.empty())
      user_error("{}: rope_scaling {} is not supported (none, linear and llama3 are)", spec.name, scaling.type);
    frequencies.push_back(f);
  }
  return frequencies;
}

}  // namespace gaggle
