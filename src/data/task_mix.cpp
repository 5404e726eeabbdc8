#include "data/task_mix.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/names.h"
#include "base/philox.h"

namespace gaggle {
namespace {

constexpr int64_t draws_per_task = 8;     // of a block, on average
constexpr double weight_parts = 1 << 18;  // of the largest n^(1/T)

int64_t sum(const std::vector<int64_t>& values) { return std::accumulate(values.begin(), values.end(), int64_t{0}); }

}  // namespace

std::vector<int64_t> mix_weights(const std::vector<int64_t>& example_counts, const MixSettings& settings) {
  const auto largest = static_cast<double>(*std::max_element(example_counts.begin(), example_counts.end()));
  std::vector<int64_t> weights;
  for (const int64_t n : example_counts) {
    if (settings.sampling == "capped") {
      weights.push_back(std::min(n, settings.cap));
    } else if (settings.sampling == "uniform") {
      weights.push_back(1);
    } else {
      GAGGLE_CHECK(settings.sampling == "temperature", "sampling {}", settings.sampling);
      const double share = std::pow(static_cast<double>(n) / largest, 1 / settings.temperature);
      weights.push_back(std::max<int64_t>(1, std::llround(weight_parts * share)));
    }
  }
  return weights;
}

std::vector<int64_t> mix_counts(const std::vector<int64_t>& weights, int64_t draws) {
  const int64_t total = sum(weights), rest = draws % total;
  // Rounding the exact shares takes every draw whose turn comes before some moment, so it is right but for the
  // number of draws: at most half a draw per task too many or too few.
  std::vector<int64_t> counts;
  for (const int64_t weight : weights) counts.push_back((2 * rest * weight + total) / (2 * total));
  // (2j + 1) / weight_t, then t: whose turn is sooner, as a product of whole numbers.
  const auto sooner = [&](size_t a, int64_t draw_a, size_t b, int64_t draw_b) {
    const int64_t left = (2 * draw_a + 1) * weights[b], right = (2 * draw_b + 1) * weights[a];
    return left != right ? left < right : a < b;
  };
  for (int64_t taken = sum(counts); taken != rest;) {
    size_t best = weights.size();
    for (size_t t = 0; t < weights.size(); ++t) {
      if (taken > rest && counts[t] == 0) continue;
      if (best == weights.size() ||
          (taken < rest ? sooner(t, counts[t], best, counts[best]) : sooner(best, counts[best] - 1, t, counts[t] - 1)))
        best = t;
    }
    const int64_t change = taken < rest ? 1 : -1;
    counts[best] += change;
    taken += change;
  }
  for (size_t t = 0; t < weights.size(); ++t) counts[t] += draws / total * weights[t];
  return counts;
}

TaskMix::TaskMix(uint64_t seed, const std::vector<std::string>& names, std::vector<int64_t> example_counts,
                 const MixSettings& settings)
    : seed_(seed), example_counts_(std::move(example_counts)) {
  GAGGLE_CHECK(!example_counts_.empty() && example_counts_.size() == names.size(), "{} tasks, {} counts of examples",
               names.size(), example_counts_.size());
  for (const int64_t n : example_counts_) GAGGLE_CHECK(n > 0, "a task without examples cannot be drawn");
  if (settings.sampling == "size") {
    samplers_.emplace_back(seed, join(names, "\n"), sum(example_counts_));
    return;
  }
  GAGGLE_CHECK(settings.sampling != "capped" || settings.cap > 0, "cap {}", settings.cap);
  weights_ = mix_weights(example_counts_, settings);
  // Products of two of these, times four, have to fit.
  GAGGLE_CHECK(sum(weights_) < int64_t{1} << 30, "too many examples to weigh: {}", sum(weights_));
  for (size_t t = 0; t < example_counts_.size(); ++t) samplers_.emplace_back(seed, names[t], example_counts_[t]);
}

Draw TaskMix::draw_by_size(int64_t global_index) {
  int64_t example = samplers_[0].example(global_index);
  for (size_t t = 0;; example -= example_counts_[t++])
    if (example < example_counts_[t]) return {static_cast<int>(t), example};
}

void TaskMix::fill_block(int64_t block) {
  const int64_t size = draws_per_task * static_cast<int64_t>(example_counts_.size());
  std::vector<int64_t> next = mix_counts(weights_, block * size);
  const std::vector<int64_t> end = mix_counts(weights_, (block + 1) * size);
  std::vector<int> tasks;
  for (size_t t = 0; t < next.size(); ++t)
    tasks.insert(tasks.end(), static_cast<size_t>(end[t] - next[t]), static_cast<int>(t));
  turns_.clear();
  for (const int64_t place : random_permutation(random_key("mix", {seed_, static_cast<uint64_t>(block)}), size)) {
    const int task = tasks[static_cast<size_t>(place)];
    turns_.push_back({task, next[static_cast<size_t>(task)]++});
  }
  block_ = block;
}

Draw TaskMix::draw(int64_t global_index) {
  if (weights_.empty()) return draw_by_size(global_index);
  const int64_t size = draws_per_task * static_cast<int64_t>(example_counts_.size());
  if (global_index / size != block_) fill_block(global_index / size);
  const Turn& turn = turns_[static_cast<size_t>(global_index % size)];
  return {turn.task, samplers_[static_cast<size_t>(turn.task)].example(turn.draw)};
}

}  // namespace gaggle
