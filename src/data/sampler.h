// Which example comes next: a pure function of (seed, task, global index), no state but the step.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/microbatch.h"
#include "data/tokens.h"

namespace gaggle {

// One task: one keyed permutation of its n examples per epoch.
class ExampleSampler {
 public:
  ExampleSampler(uint64_t seed, std::string_view task, int64_t n);
  int64_t example(int64_t global_index);  // in [0, n)

 private:
  uint64_t seed_, task_;
  int64_t n_, epoch_ = -1;
  std::vector<int64_t> order_;
};

// A member of an effective batch: its place in the global order, its task (member of the segment) and example.
struct Sample {
  int64_t global_index = 0;
  int task = 0;
  const TokenExample* example = nullptr;
  int64_t occurrence = 0;  // how many samples of its task come before it in the batch
};

// The samples of lane l of `lanes`: [l*n/lanes, (l+1)*n/lanes) of the batch's n.
std::span<const Sample> lane_samples(std::span<const Sample> batch, int64_t lane, int64_t lanes);

// A lane cut into micro-batches: by (length, global index), cut at `token_budget` tokens (at least one sample
// each); inside one, samples lie by (task, parity of occurrence, length, global index), so that
// Microbatch::even is the front of each task's segment. A sequence feeds input+target without the last token;
// every target token is scored. What an encoder reads of a sample (TokenExample::source) is one sequence of
// Microbatch::encoder, counted in its length. weight(sample) is d loss / d nll of each of its target tokens.
// With choices a sample is several sequences, side by side: its output, then each wrong choice in the example's
// order (Microbatch::choices 0, 1, …); its length is that of all of them, and all read the same source.
std::vector<Microbatch> make_microbatches(std::span<const Sample> lane, int64_t token_budget,
                                          const std::vector<float>& weight_by_position_in_lane,
                                          bool with_choices = false);

}  // namespace gaggle
