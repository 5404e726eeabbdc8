// Factors of attention of YaRN and LongRoPE; llama3 rotary scaling: its factor per frequency, and back from the factors that a GGUF
// file holds.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "formats/model_files.h"

namespace gaggle {
namespace {

double wavelength(double rope_theta, size_t pair, size_t pairs) {
  return 2 * std::numbers::pi * std::pow(rope_theta, static_cast<double>(pair) / static_cast<double>(pairs));
}

bool explains(const RopeScaling& scaling, std::span<const float> factors, double rope_theta) {
  const auto expected = llama3_factors(scaling, rope_theta, static_cast<int64_t>(factors.size()) * 2);
  for (size_t i = 0; i < factors.size(); ++i)
    if (std::abs(expected[i] / static_cast<double>(factors[i]) - 1) > 1e-5) return false;
  return true;
}

}  // namespace

double yarn_attention_factor(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

float longrope_attention_factor(double factor, int64_t original_length) {
  const double grown = std::log(factor) / std::log(static_cast<double>(original_length));
  return factor <= 1 ? 1 : static_cast<float>(std::sqrt(1 + grown));
}

std::vector<double> llama3_factors(const RopeScaling& scaling, double rope_theta, int64_t head_dim) {
  const auto pairs = static_cast<size_t>(head_dim / 2);
  const auto original = static_cast<double>(scaling.original_max_position);
  std::vector<double> factors(pairs);
  for (size_t i = 0; i < pairs; ++i) {
    const double turns = original / wavelength(rope_theta, i, pairs);  // over the original context
    const double smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
    if (turns < scaling.low_freq_factor)
      factors[i] = scaling.factor;
    else if (turns > scaling.high_freq_factor)
      factors[i] = 1;
    else
      factors[i] = 1 / ((1 - smooth) / scaling.factor + smooth);
  }
  return factors;
}

RopeScaling rope_scaling_of_factors(std::span<const float> factors, double rope_theta, const std::string& file) {
  RopeScaling scaling{"llama3", 1, 1, 4, 8192};
  for (float factor : factors) {
    if (!(factor >= 1)) user_error("{}: rope_freqs.weight holds {}; expected factors of at least 1", file, factor);
    scaling.factor = std::max(scaling.factor, static_cast<double>(factor));
  }
  if (scaling.factor == 1) return {};
  if (explains(scaling, factors, rope_theta)) return scaling;

  // In the smooth band 1/f is linear in the frequency: smooth = a/wavelength - b, with a = original/(high -
  // low) and b = low/(high - low). The three share one free scale, set by low = 1.
  double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (size_t i = 0; i < factors.size(); ++i) {
    const double factor = factors[i];
    if (factor <= 1 + 1e-6 || factor >= scaling.factor * (1 - 1e-6)) continue;
    const double x = 1 / wavelength(rope_theta, i, factors.size());
    const double y = (1 / factor - 1 / scaling.factor) / (1 - 1 / scaling.factor);
    n += 1, sx += x, sy += y, sxx += x * x, sxy += x * y;
  }
  if (n >= 2) {
    const double a = (n * sxy - sx * sy) / (n * sxx - sx * sx), b = (a * sx - sy) / n;
    if (a > 0 && b > 0) {
      scaling.high_freq_factor = 1 + 1 / b;
      scaling.original_max_position = std::llround(std::min(a / b, 1e15));
      if (explains(scaling, factors, rope_theta)) return scaling;
    }
  }
  user_error("{}: the factors in rope_freqs.weight are no llama3 scaling for rope_theta {}", file, rope_theta);
}

}  // namespace gaggle
