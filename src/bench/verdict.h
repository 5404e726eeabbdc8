// Two measurements of the same lines: which are better or worse by more than both of them scatter.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bench/measure.h"

namespace gaggle {

enum class Verdict { better, same, worse };

// A difference counts where its logarithm is more than three standard deviations of both together, each as a share of its
// median (1.4826 · deviation, as of a normal distribution), so that no scatter hides a run of many times the other; and where it
// is more than 5 % of `before`: what a machine drifts by between two runs shows in the scatter of neither. Medians above 0.
Verdict verdict_on(const Spread& before, const Spread& now, bool less_is_better);

struct ComparedLine {
  std::string change;  // "-12%", of what is compared
  std::string word;    // "better", "worse", "the same", "new", "other work"
};

struct BenchComparison {
  bool by_seconds = true;                     // on one machine; else by shares of the roofline
  std::map<std::string, ComparedLine> lines;  // by the name of a line of now
  std::vector<std::string> gone;              // lines of before that were not measured now
  bool any_worse = false;
};

// Lines whose FLOP and bytes are not the same are no comparison, but other work. The machine's lines are compared by
// their seconds, on one machine only.
BenchComparison compare_lines(const std::vector<BenchLine>& before, const std::vector<BenchLine>& now,
                              bool same_machine);

}  // namespace gaggle
