#include "train/schedule.h"

#include <algorithm>
#include <cmath>

namespace gaggle {

double learning_rate(const Schedule& s, int64_t t) {
  // Less a hair: 0.06 · 50 is 3.0000000000000004 or 3, and must be 3.
  const auto warm = static_cast<int64_t>(std::ceil(s.warmup * static_cast<double>(s.steps) - 1e-9));
  double lr = s.lr;
  if (t < warm) return lr * static_cast<double>(t) / static_cast<double>(warm);
  if (s.linear && s.steps > warm) lr *= static_cast<double>(s.steps - t) / static_cast<double>(s.steps - warm);
  return lr;
}

}  // namespace gaggle
