// Which (task, example) is sample i of a run over several tasks: a pure function of (seed, global index), asked
// in any order, so that a run goes on at any step. What is kept between two calls only saves time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/sampler.h"

namespace gaggle {

struct MixSettings {              // data.sampling, …_cap, …_temperature
  std::string sampling = "size";  // size | capped | uniform | temperature
  int64_t cap = 0;                // capped: examples of a task that count, > 0
  double temperature = 1;         // temperature: > 0
};

struct Draw {
  int task = 0;         // its place among the names given
  int64_t example = 0;  // in [0, rows of the task)
};

// What each task's share of the draws is proportional to: capped min(n, cap), uniform 1, temperature n^(1/T) in
// 2^-18ths of the largest (at least one of them, so that every task is drawn). Whole numbers: all that follows
// is exact. Not for "size".
std::vector<int64_t> mix_weights(const std::vector<int64_t>& example_counts, const MixSettings& settings);

// How often each task is drawn among the first `draws` (Webster / Sainte-Laguë): draw j (from 0) of task t has
// its turn at (2j + 1) / weight_t, ties to the lower number. So no count ever falls as `draws` grows (it may
// where running totals are rounded by largest remainder), each stays near draws · weight / Σ weights, and
// after every Σ weights draws the shares are exact.
std::vector<int64_t> mix_counts(const std::vector<int64_t>& weights, int64_t draws);

// size: one keyed permutation of all examples of all tasks per epoch. Otherwise blocks of 8 draws per task (few
// enough that a batch keeps the shares, enough that the order inside a block cannot be foreseen from the last
// one): block b has what mix_counts adds from b·M to (b + 1)·M, in an order shuffled by key; draw j of a task
// is example j of its own ExampleSampler. One task alone has the order of its ExampleSampler, whatever the sampling.
class TaskMix {
 public:
  // examples[t] > 0: training examples of task names[t].
  TaskMix(uint64_t seed, const std::vector<std::string>& names, std::vector<int64_t> example_counts,
          const MixSettings& settings);
  Draw draw(int64_t global_index);

 private:
  Draw draw_by_size(int64_t global_index);
  void fill_block(int64_t block);

  uint64_t seed_;
  std::vector<int64_t> example_counts_;
  std::vector<int64_t> weights_;          // empty: by size
  std::vector<ExampleSampler> samplers_;  // by size: one of all examples; else one per task
  int64_t block_ = -1;                    // that turns_ holds
  struct Turn {
    int task;
    int64_t draw;  // of this task, from the beginning of the run
  };
  std::vector<Turn> turns_;
};

}  // namespace gaggle
