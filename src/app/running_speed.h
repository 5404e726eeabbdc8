// Speed over the last steps, the newest weighing most.
#pragma once

#include <algorithm>

#include "train/loop.h"

namespace gaggle {

struct RunningSpeed {
  double rows = 0, flops = 0, seconds = 0, steps = 0;
  void add(const StepReport& report) {
    constexpr double kept = 0.9;
    rows = kept * rows + static_cast<double>(report.rows);
    flops = kept * flops + report.flops;
    seconds = kept * seconds + report.seconds;
    steps = kept * steps + 1;
  }
  double per_second(double amount) const { return amount / std::max(1e-9, seconds); }
  double seconds_left(const StepReport& report) const {
    return seconds / steps * static_cast<double>(report.steps - report.step);
  }
};

}  // namespace gaggle
