// The arithmetic of the bench: rooflines, spreads, rounds, and the verdict on two measurements.
#include "bench/measure.h"

#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/error.h"
#include "bench/report.h"

namespace gaggle {
namespace {

constexpr MachineRates rates{100e9, 10e9};

TEST(Roofline, EachPieceIsBoundByProductsOrByMemory) {
  const BenchWork products{200e9, 1e9}, memory{1e9, 30e9};
  EXPECT_DOUBLE_EQ(roofline_seconds({{products}}, rates), 2);
  EXPECT_DOUBLE_EQ(roofline_seconds({{memory}}, rates), 3);
  // One after the other: their sum would be bound by products alone, and so hide the memory's time.
  EXPECT_DOUBLE_EQ(roofline_seconds({{products, memory}}, rates), 5);
}

TEST(Roofline, RatesAreOfThePassOverTheBase) {
  std::vector<BenchCase> cases(3);
  cases[0] = {machine_group, "GEMM a", {{60, 0}}, 0, {}, 3};
  cases[1] = {machine_group, "GEMM b", {{20, 0}}, 0, {}, 1};
  cases[2] = {machine_group, "memory copy", {{0, 50}}, 0, {}, 1};
  const std::vector<double> seconds = {1, 2, 5};
  const MachineRates found = machine_rates(cases, seconds);
  EXPECT_DOUBLE_EQ(found.flop_per_s, (3 * 60 + 20) / (3 * 1 + 2.0));
  EXPECT_DOUBLE_EQ(found.bytes_per_s, 10);
}

TEST(Spread, IsTheMedianAndTheMedianDistance) {
  const Spread spread = spread_of({9, 1, 2, 3, 100});
  EXPECT_EQ(spread.median, 3);
  EXPECT_EQ(spread.deviation, 2);
}

TEST(Verdict, KnowsTheNoiseOfBoth) {
  const Spread before{100, 1};
  EXPECT_EQ(verdict_on(before, {80, 1}, true), Verdict::better);
  EXPECT_EQ(verdict_on(before, {120, 1}, true), Verdict::worse);
  EXPECT_EQ(verdict_on(before, {120, 1}, false), Verdict::better);
  EXPECT_EQ(verdict_on(before, {120, 8}, true), Verdict::same);         // now is noisy
  EXPECT_EQ(verdict_on({100, 8}, {80, 1}, true), Verdict::same);        // before was
  EXPECT_EQ(verdict_on({100, 1}, {9000, 2500}, true), Verdict::worse);  // however it scatters
  EXPECT_EQ(verdict_on({100, 30}, {1, 0.01}, true), Verdict::better);
  EXPECT_EQ(verdict_on({100, 0}, {104, 0}, true), Verdict::same);  // what a machine drifts by
  EXPECT_EQ(verdict_on({100, 0}, {106, 0}, true), Verdict::worse);
}

BenchLine line(const std::string& name, double seconds, double share, double flop = 1e9) {
  return {"kernels", name, flop, 1e6, 0, {seconds, 0.01 * seconds}, {share, 0.01 * share}};
}

TEST(Comparison, IsByTimeOnOneMachineAndBySharesOnTwo) {
  const std::vector<BenchLine> before = {line("a", 1, 0.5), line("b", 1, 0.5), line("c", 1, 0.5), line("d", 1, 0.5)};
  const std::vector<BenchLine> now = {line("a", 0.5, 0.5), line("b", 1, 0.2), line("c", 1, 0.5, 2e9), line("e", 1, 1)};
  const BenchComparison by_time = compare_lines(before, now, true);
  EXPECT_EQ(by_time.lines.at("a").word, "better");
  EXPECT_EQ(by_time.lines.at("a").change, "-50%");
  EXPECT_EQ(by_time.lines.at("b").word, "the same");
  EXPECT_EQ(by_time.lines.at("c").word, "other work");
  EXPECT_EQ(by_time.lines.at("e").word, "new");
  EXPECT_EQ(by_time.gone, std::vector<std::string>{"d"});
  EXPECT_FALSE(by_time.any_worse);
  const BenchComparison by_share = compare_lines(before, now, false);
  EXPECT_EQ(by_share.lines.at("a").word, "the same");
  EXPECT_EQ(by_share.lines.at("b").word, "worse");
  EXPECT_TRUE(by_share.any_worse);
}

TEST(Rounds, EveryRoundTimesEveryCaseOnceWithItsOwnRates) {
  std::vector<std::string> order;
  const auto sleeping = [&](const std::string& name, double seconds) {
    return [&order, name, seconds] {
      return Runner{[seconds] {
                      const double end = monotonic_seconds() + seconds;
                      while (monotonic_seconds() < end) continue;
                    },
                    [&order, name] { order.push_back(name); }};
    };
  };
  const std::vector<BenchCase> cases = {{machine_group, "GEMM", {{1e6, 0}}, 0, sleeping("GEMM", 1e-3)},
                                        {machine_group, "memory copy", {{0, 1e6}}, 0, sleeping("copy", 1e-3)},
                                        {"kernels", "half", {{1e6, 0}}, 7, sleeping("half", 2e-3)}};
  int64_t rounds = 0;
  const auto lines = run_rounds(cases, {3, 0.001, [] {}, [] {}, [&](int64_t) { ++rounds; }});
  EXPECT_EQ(rounds, 3);
  ASSERT_EQ(order.size(), 12u);  // warmed up, then three rounds
  EXPECT_EQ(std::vector(order.begin() + 3, order.begin() + 6), (std::vector<std::string>{"GEMM", "copy", "half"}));
  EXPECT_EQ(lines[0].share.median, 0);  // the machine is what shares are of
  EXPECT_GE(lines[2].seconds.median, 2e-3);
  const auto once = run_rounds(cases, {1, 0.001, [] {}, [] {}, [](int64_t) {}});  // of one round the numbers are known
  EXPECT_DOUBLE_EQ(once[2].share.median, once[0].seconds.median / once[2].seconds.median);
}

TEST(BenchFile, ComesBackAsItWasWritten) {
  BenchResult result{{{"processor", "one"}}, {{"base", "tiny"}}, 7, rates, {line("a", 1, 0.5)}};
  result.lines[0].tokens = 30;
  const BenchResult back = bench_result_of(bench_json(result), "x.json");
  EXPECT_EQ(bench_json(back), bench_json(result));
  EXPECT_EQ(back.machine, result.machine);
  for (const std::string bad : {"{}", "[1", "{\"form\": \"gaggle bench 2\"}", "{\"form\": \"gaggle bench 1\"}"})
    EXPECT_THROW(bench_result_of(bad, "x.json"), UserError) << bad;
}

}  // namespace
}  // namespace gaggle
