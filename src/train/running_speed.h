// What a training step means in numbers: speed over the last steps, and what metrics files have of every step.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "train/loop.h"

namespace gaggle {

// The newest step weighs most.
struct RunningSpeed {
  double tokens = 0, flops = 0, seconds = 0, steps = 0;
  void add(const StepReport& report) {
    constexpr double kept = 0.9;
    tokens = kept * tokens + static_cast<double>(report.tokens);
    flops = kept * flops + report.flops;
    seconds = kept * seconds + report.seconds;
    steps = kept * steps + 1;
  }
  double per_second(double amount) const { return amount / std::max(1e-9, seconds); }
  double seconds_left(const StepReport& report) const {
    return seconds / steps * static_cast<double>(report.steps - report.step);
  }
};

inline std::vector<std::pair<std::string, double>> step_values(const StepReport& report) {
  return {{"loss", report.loss},
          {"grad_norm", report.grad_norm},
          {"lr", report.lr},
          {"seconds", report.seconds},
          {"tokens_per_s", static_cast<double>(report.tokens) / std::max(1e-9, report.seconds)}};
}

}  // namespace gaggle
