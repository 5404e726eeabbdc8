#include "model/rope.h"

#include <algorithm>
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

// YaRN (Peng et al. 2023), for each pair how much of its frequency is divided: none where it turns often over the
// original context, all where it hardly turns, and a ramp between.
std::vector<double> yarn_ramp(const ModelSpec& spec) {
  const RopeScaling& scaling = spec.rope_scaling;
  const auto dim = static_cast<double>(spec.head_dim);
  const auto pair_that_turns = [&](double turns) {
    const double context = static_cast<double>(scaling.original_max_position);
    return dim * std::log(context / (turns * 2 * std::numbers::pi)) / (2 * std::log(spec.rope_theta));
  };
  double low = pair_that_turns(scaling.beta_fast), high = pair_that_turns(scaling.beta_slow);
  if (scaling.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  std::vector<double> ramp;
  for (int64_t pair = 0; pair < spec.head_dim / 2; ++pair)
    ramp.push_back(std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0));
  return ramp;
}

// NTK's theta (bloc97 and emozilla 2023) for a text of this length.
double dynamic_theta(const ModelSpec& spec, int64_t length) {
  const RopeScaling& scaling = spec.rope_scaling;
  const auto dim = static_cast<double>(spec.head_dim);
  const double stretch =
      static_cast<double>(scaling.length_class(length)) / static_cast<double>(scaling.original_max_position);
  return spec.rope_theta * std::pow(scaling.factor * stretch - (scaling.factor - 1), dim / (dim - 2));
}

}  // namespace

std::vector<double> rope_frequencies(const ModelSpec& spec, int64_t length) {
  const RopeScaling& scaling = spec.rope_scaling;
  std::vector<double> frequencies;
  const std::vector<double> ramp = scaling.type == "yarn" ? yarn_ramp(spec) : std::vector<double>();
  const double theta = scaling.type == "dynamic" ? dynamic_theta(spec, length) : spec.rope_theta;
  const std::vector<float>& factors = scaling.length_class(length) == 0 ? scaling.short_factors : scaling.long_factors;
  for (int64_t i = 0; i < spec.head_dim; i += 2) {
    const auto pair = static_cast<size_t>(i / 2);
    double f = std::pow(theta, -static_cast<double>(i) / static_cast<double>(spec.head_dim));
    if (scaling.type == "linear")
      f /= scaling.factor;
    else if (scaling.type == "llama3")
      f = llama3(f, scaling);
    else if (scaling.type == "yarn")
      f *= 1 - ramp[pair] * (1 - 1 / scaling.factor);
    else if (scaling.type == "longrope")
      f /= static_cast<double>(factors.at(pair));
    frequencies.push_back(f);
  }
  return frequencies;
}

}  // namespace gaggle
