#include "bench/measure.h"

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "base/error.h"
#include "doctor/odd_one.h"

namespace gaggle {
namespace {

// A case that has been made and warmed up.
struct Ready {
  Runner runner;
  int64_t runs = 1;  // timed at once
};

double seconds_of(const Ready& ready, const Timing& timing) {
  if (ready.runner.prepare) ready.runner.prepare();
  timing.wait();
  const double begin = monotonic_seconds();
  for (int64_t i = 0; i < ready.runs; ++i) ready.runner.run();
  timing.wait();
  return std::max(1e-9, monotonic_seconds() - begin) / static_cast<double>(ready.runs);
}

Ready made(const BenchCase& what, const Timing& timing) {
  timing.meet();
  Ready ready{what.make()};
  const double first = seconds_of(ready, timing);  // memory is touched, lazy things are made
  if (!ready.runner.prepare && first < 10 * timing.least_seconds)
    ready.runs = std::clamp<int64_t>(std::llround(timing.least_seconds / seconds_of(ready, timing)), 1, 100000);
  return ready;
}

}  // namespace

double roofline_seconds(std::span<const BenchWork> work, const MachineRates& rates) {
  GAGGLE_CHECK(rates.flop_per_s > 0 && rates.bytes_per_s > 0, "the machine's rates are not measured");
  double seconds = 0;
  for (const BenchWork& piece : work)
    seconds += std::max(piece.flop / rates.flop_per_s, piece.bytes / rates.bytes_per_s);
  return seconds;
}

Spread spread_of(const std::vector<double>& values) {
  Spread spread{median(values), 0};
  std::vector<double> distances;
  for (const double value : values) distances.push_back(std::abs(value - spread.median));
  spread.deviation = median(distances);
  return spread;
}

MachineRates machine_rates(std::span<const BenchCase> cases, std::span<const double> seconds) {
  double flop = 0, flop_seconds = 0, bytes = 0, bytes_seconds = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    if (cases[i].group != machine_group) continue;
    const auto count = static_cast<double>(cases[i].count);
    for (const BenchWork& piece : cases[i].work) {
      (piece.flop > 0 ? flop : bytes) += count * (piece.flop > 0 ? piece.flop : piece.bytes);
      (piece.flop > 0 ? flop_seconds : bytes_seconds) += count * seconds[i];
    }
  }
  return {flop_seconds > 0 ? flop / flop_seconds : 0, bytes_seconds > 0 ? bytes / bytes_seconds : 0};
}

std::vector<BenchLine> run_rounds(std::span<const BenchCase> cases, const Timing& timing) {
  std::vector<Ready> ready;
  for (const BenchCase& what : cases) ready.push_back(made(what, timing));
  std::vector<std::vector<double>> seconds(cases.size()), shares(cases.size());
  for (int64_t round = 0; round < timing.repeats; ++round) {
    std::vector<double> now(cases.size());
    for (size_t i = 0; i < cases.size(); ++i) {
      timing.meet();
      seconds[i].push_back(now[i] = seconds_of(ready[i], timing));
    }
    const MachineRates rates = machine_rates(cases, now);
    for (size_t i = 0; i < cases.size(); ++i)
      if (cases[i].group != machine_group) shares[i].push_back(roofline_seconds(cases[i].work, rates) / now[i]);
    timing.after_round(round);
  }
  std::vector<BenchLine> lines;
  for (size_t i = 0; i < cases.size(); ++i) {
    BenchLine& line = lines.emplace_back(
        BenchLine{cases[i].group, cases[i].name, 0, 0, cases[i].tokens, spread_of(seconds[i]), spread_of(shares[i])});
    for (const BenchWork& piece : cases[i].work) line.flop += piece.flop, line.bytes += piece.bytes;
  }
  return lines;
}

}  // namespace gaggle
