// What a line of the bench is: work of so many FLOP and bytes, timed in rounds, beside the time that the machine's own
// rates allow for it (its roofline; Williams, Waterman, Patterson, CACM 2009).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace gaggle {

// One piece of work: the products that it cannot do without, and the bytes that it has to read or write once.
struct BenchWork {
  double flop = 0, bytes = 0;
};

struct MachineRates {
  double flop_per_s = 0, bytes_per_s = 0;
};

// The least time for pieces of work that follow each other: each is bound by its products or by memory.
double roofline_seconds(std::span<const BenchWork> work, const MachineRates& rates);

// Of repeats: their median, and the median of their distances from it.
struct Spread {
  double median = 0, deviation = 0;
};
Spread spread_of(const std::vector<double>& values);

// What is timed. `prepare` is called before every run and not timed; without it short runs are timed many at once.
struct Runner {
  std::function<void()> run, prepare = {};
};

inline constexpr const char* machine_group = "machine";

struct BenchCase {
  std::string group, name;  // "kernels", "norm forward"
  std::vector<BenchWork> work;
  double tokens = 0;             // that a run feeds; 0: none are counted
  std::function<Runner()> make;  // what is slow to make, or large, is made here
  int64_t count = 1;             // of group `machine`: how often a pass over the base does it
};

struct BenchLine {
  std::string group, name;
  double flop = 0, bytes = 0, tokens = 0;
  Spread seconds;
  Spread share;  // of the roofline by the machine's rates in the same round; 0: there is none
};

// Σ FLOP and Σ bytes over Σ seconds of the machine's cases, each as often as the base has it. seconds: by case.
MachineRates machine_rates(std::span<const BenchCase> cases, std::span<const double> seconds);

struct Timing {
  int64_t repeats = 5;
  double least_seconds = 0.02;  // of what is timed at once
  std::function<void()> wait;   // until the device has done what it was told
  std::function<void()> meet;   // before a case: all ranks are busy with the same
  std::function<void(int64_t round)> after_round;
};

// Every round times every case once, so that what else the machine is at meets all alike. The machine's come first.
std::vector<BenchLine> run_rounds(std::span<const BenchCase> cases, const Timing& timing);

}  // namespace gaggle
