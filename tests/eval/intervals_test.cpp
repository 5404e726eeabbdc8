// Intervals of means over rows, against numbers of tables and by hand.
#include "eval/intervals.h"

#include <gtest/gtest.h>

#include <vector>

namespace gaggle {
namespace {

RowSums sums_of(const std::vector<double>& values, const std::vector<double>& weights = {}) {
  RowSums sums;
  for (size_t i = 0; i < values.size(); ++i) sums.add(values[i], weights.empty() ? 1 : weights[i]);
  return sums;
}

TEST(Intervals, OfEqualWeightsAreStudents) {
  // 97.5 % points of Student's distribution, as tables have them.
  for (const auto& [rows, quantile] : std::vector<std::pair<int, double>>{
           {2, 12.706}, {3, 4.303}, {4, 3.182}, {5, 2.776}, {6, 2.571}, {11, 2.228}, {31, 2.042}, {1001, 1.962}}) {
    std::vector<double> values;
    for (int i = 0; i < rows; ++i) values.push_back(i == 0 ? 1 : i == 1 ? -1 : 0);  // mean 0, Σ of squares 2
    const ConfidenceInterval interval = interval_of(sums_of(values));
    const double error = std::sqrt(2.0 / (rows - 1) / rows);
    EXPECT_NEAR(interval.high / error, quantile, 0.004 * quantile / 3) << rows;
    EXPECT_NEAR(interval.low, -interval.high, 1e-12);
  }
}

TEST(Intervals, OfARatioWeighRowsByTheirTokens) {
  const ConfidenceInterval interval = interval_of(sums_of({2, 1, 6}, {1, 2, 3}));
  // mean 9 / 6 = 1.5; what remains is 0.5, -2, 1.5 with squares 6.5; √(3/2 · 6.5) / 6 = 0.52042, times 4.30265.
  EXPECT_NEAR(interval.low, 1.5 - 2.23917, 1e-4);
  EXPECT_NEAR(interval.high, 1.5 + 2.23917, 1e-4);
  RowSums parts = sums_of({2, 1}, {1, 2});
  parts += sums_of({6}, {3});
  EXPECT_DOUBLE_EQ(interval_of(parts).high, interval.high);
}

TEST(Intervals, AreNotThereForOneRowOrWhatIsNotFinite) {
  EXPECT_FALSE(interval_of(sums_of({})).is_there());
  EXPECT_FALSE(interval_of(sums_of({1})).is_there());
  EXPECT_FALSE(interval_of(sums_of({1, INFINITY})).is_there());
  EXPECT_FALSE(interval_of_share(0, 0).is_there());
  EXPECT_DOUBLE_EQ(interval_of(sums_of({0.1, 0.1, 0.1})).low, interval_of(sums_of({0.1, 0.1, 0.1})).high);
}

TEST(Intervals, OfSharesAreWilsons) {
  EXPECT_NEAR(interval_of_share(0, 24).low, 0, 1e-12);
  EXPECT_NEAR(interval_of_share(0, 24).high, 0.13798, 1e-5);
  EXPECT_NEAR(interval_of_share(81, 263).low, 0.2553, 1e-4);  // the example of Newcombe (1998): 81 of 263
  EXPECT_NEAR(interval_of_share(81, 263).high, 0.3662, 1e-4);
}

TEST(Intervals, OfPairedSharesHaveAWidthWhereNoRowDiffers) {
  const ConfidenceInterval none = interval_of_shares_apart(0, 0, 24);
  EXPECT_LT(none.low, 0);
  EXPECT_DOUBLE_EQ(none.high, -none.low);
  const ConfidenceInterval swapped = interval_of_shares_apart(7, 1, 24), interval = interval_of_shares_apart(1, 7, 24);
  EXPECT_DOUBLE_EQ(interval.low, -swapped.high);
  // (2 - 8) / 26 = -0.23077; √((10 / 26 - 0.053254) / 26) = 0.11290, times 1.95996.
  EXPECT_NEAR(interval.low, -0.23077 - 0.22127, 1e-4);
}

TEST(Intervals, OverTasksAddDistancesAsSquares) {
  const ConfidenceInterval over =
      interval_over_tasks(std::vector<double>{1, 3}, std::vector<ConfidenceInterval>{{0.4, 1.3}, {2.2, 3.4}});
  EXPECT_NEAR(over.low, 2 - 0.5, 1e-12);
  EXPECT_NEAR(over.high, 2 + 0.25, 1e-12);
  EXPECT_FALSE(interval_over_tasks(std::vector<double>{1, 3}, std::vector<ConfidenceInterval>{{0, 2}, {}}).is_there());
}

}  // namespace
}  // namespace gaggle
