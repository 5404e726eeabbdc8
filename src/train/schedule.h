// The learning rate of every update: warm-up, then constant or linear decay.
#pragma once

#include <cstdint>

namespace gaggle {

struct Schedule {
  double lr = 0;        // the highest
  double warmup = 0;    // share of the steps
  bool linear = false;  // falls to 0 after warm-up; else constant
  int64_t steps = 0;
};

// Of update t = 0, 1, …, steps - 1: lr·min(1, t/n_w) with n_w = ⌈warmup·steps⌉, so that the first has rate 0.
double learning_rate(const Schedule& schedule, int64_t t);

}  // namespace gaggle
