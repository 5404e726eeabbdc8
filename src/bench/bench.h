// gaggle bench: how fast the machine is, and which share of that kernels and steps reach on a config's base.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "config/config.h"

namespace gaggle {

struct BenchOptions {
  std::vector<std::string> only;      // groups, or beginnings of lines' names; empty: all
  std::vector<int64_t> experts = {};  // N of routing and scoring; empty: 1, 8, 64, 256 (small: 1, 8)
  int64_t repeats = 0;                // 0: 7
  bool small = false;                 // a batch of at most 512 tokens, for tests
  std::string title;                  // the report's first line
  std::string json = {};              // file to write; "": none
  std::string compare = {};           // file of an earlier run; "": none
  bool fail_if_worse = false;         // exit code 1 where a line is worse than in that
};

// Under mpirun all ranks do the same work at once, each for itself, and the first one reports. Collective.
Exit run_bench(const Config& config, const BenchOptions& options);

}  // namespace gaggle
