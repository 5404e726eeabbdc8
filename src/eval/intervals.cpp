#include "eval/intervals.h"

#include <algorithm>

namespace gaggle {
namespace {

constexpr double z = 1.959963984540054;  // 97.5 % of a normal distribution lie below

// 97.5 % of Student's distribution lie below; from 3 degrees of freedom on by its expansion around the normal one (Abramowitz
// and Stegun, 26.7.5), within 0.2 %.
double student(int64_t degrees) {
  if (degrees == 1) return 12.706204736432095;
  if (degrees == 2) return 4.302652729696142;
  const double n = static_cast<double>(degrees), z2 = z * z;
  const double g1 = z * (z2 + 1) / 4;
  const double g2 = z * ((5 * z2 + 16) * z2 + 3) / 96;
  const double g3 = z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384;
  const double g4 = z * ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945) / 92160;
  return z + (g1 + (g2 + (g3 + g4 / n) / n) / n) / n;
}

}  // namespace

void RowSums::add(double of_row, double weight_of_row) {
  ++rows;
  value += of_row, weight += weight_of_row;
  value_squared += of_row * of_row, value_times_weight += of_row * weight_of_row;
  weight_squared += weight_of_row * weight_of_row;
}

RowSums& RowSums::operator+=(const RowSums& other) {
  rows += other.rows, value += other.value, weight += other.weight;
  value_squared += other.value_squared, value_times_weight += other.value_times_weight;
  weight_squared += other.weight_squared;
  return *this;
}

ConfidenceInterval interval_of(const RowSums& sums) {
  if (sums.rows < 2 || sums.weight == 0 || !std::isfinite(sums.value_squared)) return {};
  const double mean = sums.mean(), n = static_cast<double>(sums.rows);
  // Σ (value - mean · weight)², which sums to 0; rounding must not make it negative.
  const double squares =
      std::max(0.0, sums.value_squared - 2 * mean * sums.value_times_weight + mean * mean * sums.weight_squared);
  const double half = student(sums.rows - 1) * std::sqrt(n / (n - 1) * squares) / sums.weight;
  return {mean - half, mean + half};
}

ConfidenceInterval interval_of_share(double right, int64_t rows) {
  if (rows == 0 || !std::isfinite(right)) return {};
  const double n = static_cast<double>(rows), share = right / n, z2 = z * z;
  const double middle = share + z2 / (2 * n), half = z * std::sqrt(share * (1 - share) / n + z2 / (4 * n * n));
  return {std::max(0.0, (middle - half) / (1 + z2 / n)), std::min(1.0, (middle + half) / (1 + z2 / n))};
}

ConfidenceInterval interval_of_shares_apart(int64_t only_first, int64_t only_second, int64_t rows) {
  if (rows == 0) return {};
  const double n = static_cast<double>(rows + 2);
  const double first = static_cast<double>(only_first + 1) / n, second = static_cast<double>(only_second + 1) / n;
  const double apart = first - second, half = z * std::sqrt((first + second - apart * apart) / n);
  return {std::max(-1.0, apart - half), std::min(1.0, apart + half)};
}

ConfidenceInterval interval_over_tasks(std::span<const double> means, std::span<const ConfidenceInterval> of_tasks) {
  double mean = 0, below = 0, above = 0;
  const auto tasks = static_cast<double>(means.size());
  for (size_t t = 0; t < means.size(); ++t) {
    mean += means[t] / tasks;
    below += std::pow((means[t] - of_tasks[t].low) / tasks, 2);
    above += std::pow((of_tasks[t].high - means[t]) / tasks, 2);
  }
  return {mean - std::sqrt(below), mean + std::sqrt(above)};  // NaN stays NaN
}

}  // namespace gaggle
