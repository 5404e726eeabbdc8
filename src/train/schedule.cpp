#include "train/schedule.h"

#include <cmath>

namespace gaggle {

double learning_rate(const Schedule& s, int64_t t) {
  // Less a hair: 0.07 · 100 is 7.000000000000001 in doubles, and means 7.
  const auto warm = static_cast<int64_t>(std::ceil(s.warmup * static_cast<double>(s.steps) - 1e-9));
  double lr = s.lr;
  if (t < warm) return lr * static_cast<double>(t) / static_cast<double>(warm);
  if (s.linear && s.steps > warm) lr *= static_cast<double>(s.steps - t) / static_cast<double>(s.steps - warm);
  return lr;
}

}  // namespace gaggle
