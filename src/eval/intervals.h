// Means over rows of a task, and how far they would move with other rows of the same task: intervals of 95 %.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

namespace gaggle {

struct ConfidenceInterval {
  double low = NAN, high = NAN;  // NaN: there is none
  bool is_there() const { return !std::isnan(low); }
};

// Sums over rows, each of which adds a value and a weight: its NLL and its target tokens, or its score and 1.
struct RowSums {
  int64_t rows = 0;
  double value = 0, weight = 0, value_squared = 0, value_times_weight = 0, weight_squared = 0;
  void add(double value, double weight = 1);
  RowSums& operator+=(const RowSums& other);
  double mean() const { return weight == 0 ? NAN : value / weight; }
};

// Of the mean Σ value / Σ weight: the variance of a ratio's linear part (Cochran, Sampling Techniques, 1977, section 6.4)
// and Student's t for rows - 1. None of fewer than two rows, and none where a value is not finite.
ConfidenceInterval interval_of(const RowSums& sums);
// Of the share that is right (Wilson, 1927): 0 of 24 has an interval, too.
ConfidenceInterval interval_of_share(double right, int64_t rows);
// Of the share right of the first less that of the second on the same rows, by the rows that only one of them has right
// (Bonett and Price, 2012: both counts one larger).
ConfidenceInterval interval_of_shares_apart(int64_t only_first, int64_t only_second, int64_t rows);
// Of the mean over tasks that do not depend on each other: the distances to their limits add up as squares (MOVER: Zou and
// Donner, 2008). None where one of them has none.
ConfidenceInterval interval_over_tasks(std::span<const double> means, std::span<const ConfidenceInterval> of_tasks);

}  // namespace gaggle
