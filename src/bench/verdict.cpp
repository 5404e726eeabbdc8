#include "bench/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace gaggle {
namespace {

constexpr double deviations = 3, normal_scale = 1.4826, drift = 0.05;
constexpr const char* words[] = {"better", "the same", "worse"};

// The sums are made alike in both runs, but pass through decimal digits on the way.
bool same_work(const BenchLine& a, const BenchLine& b) {
  const auto close = [](double x, double y) { return std::abs(x - y) <= 1e-6 * std::max(x, y); };
  return close(a.flop, b.flop) && close(a.bytes, b.bytes);
}

ComparedLine compared(const BenchLine& before, const BenchLine& now, bool by_seconds) {
  if (!same_work(before, now)) return {"-", "other work"};
  const Spread& old_spread = by_seconds ? before.seconds : before.share;
  const Spread& new_spread = by_seconds ? now.seconds : now.share;
  if (old_spread.median <= 0 || new_spread.median <= 0) return {"-", "not compared"};
  return {fmt::format("{:+.0f}%", 100 * (new_spread.median / old_spread.median - 1)),
          words[static_cast<int>(verdict_on(old_spread, new_spread, by_seconds))]};
}

}  // namespace

Verdict verdict_on(const Spread& before, const Spread& now, bool less_is_better) {
  const double noise =
      deviations * normal_scale * std::hypot(before.deviation / before.median, now.deviation / now.median);
  const double difference = now.median - before.median;
  if (std::abs(difference) <= drift * before.median || std::abs(std::log(now.median / before.median)) <= noise)
    return Verdict::same;
  return (difference < 0) == less_is_better ? Verdict::better : Verdict::worse;
}

BenchComparison compare_lines(const std::vector<BenchLine>& before, const std::vector<BenchLine>& now,
                              bool same_machine) {
  BenchComparison result{same_machine, {}, {}, false};
  for (const BenchLine& line : now) {
    const auto old_line = std::ranges::find(before, line.name, &BenchLine::name);
    const ComparedLine found =
        old_line == before.end() ? ComparedLine{"-", "new"} : compared(*old_line, line, same_machine);
    result.any_worse |= found.word == words[static_cast<int>(Verdict::worse)];
    result.lines[line.name] = found;
  }
  for (const BenchLine& line : before)
    if (std::ranges::find(now, line.name, &BenchLine::name) == now.end()) result.gone.push_back(line.name);
  return result;
}

}  // namespace gaggle
