// Which task and example comes next: exact shares in the long run and near them always, every example of a task
// equally often, the same answers in any order of asking.
#include "data/task_mix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace gaggle {
namespace {

const std::vector<std::string> names = {"anli", "boolq", "copa", "qasc", "tomi"};
const std::vector<int64_t> sizes = {40, 7, 300, 1, 90};
const std::vector<MixSettings> all_settings = {
    {"size", 0, 1}, {"capped", 50, 1}, {"uniform", 0, 1}, {"temperature", 0, 2}, {"temperature", 0, 1}};

std::vector<std::pair<int, int64_t>> first_draws(TaskMix mix, int64_t n) {
  std::vector<std::pair<int, int64_t>> draws;
  for (int64_t i = 0; i < n; ++i) {
    const Draw draw = mix.draw(i);
    draws.emplace_back(draw.task, draw.example);
  }
  return draws;
}

// Webster's apportionment the long way: one draw after the other, each to whose turn is soonest.
std::vector<int64_t> counted_one_by_one(const std::vector<int64_t>& weights, int64_t draws) {
  std::vector<int64_t> counts(weights.size(), 0);
  for (; draws > 0; --draws) {
    size_t best = 0;
    for (size_t t = 1; t < weights.size(); ++t)
      if ((2 * counts[t] + 1) * weights[best] < (2 * counts[best] + 1) * weights[t]) best = t;
    ++counts[best];
  }
  return counts;
}

TEST(TaskMix, CountsAreThoseOfDrawsCountedOneByOne) {
  for (const std::vector<int64_t>& weights :
       {std::vector<int64_t>{1, 1, 1}, {5, 3, 1}, {1000, 1, 1, 1, 1, 1, 1}, {7}, {2, 2, 3, 3, 3, 1, 40}})
    for (int64_t draws = 0; draws < 2200; ++draws)
      ASSERT_EQ(mix_counts(weights, draws), counted_one_by_one(weights, draws)) << draws;
}

TEST(TaskMix, CountsOfALongRunAreNearTheShares) {
  const std::vector<int64_t> weights = {1 << 18, 1, 70001, 5};
  const int64_t total = std::accumulate(weights.begin(), weights.end(), int64_t{0});
  for (const int64_t draws : {int64_t{0}, total, 1000 * total, 3 * total + 12345, 900'000'000'007}) {
    const std::vector<int64_t> counts = mix_counts(weights, draws);
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), int64_t{0}), draws);
    for (size_t t = 0; t < weights.size(); ++t) {
      const double share = static_cast<double>(weights[t]) / static_cast<double>(total);
      EXPECT_NEAR(static_cast<double>(counts[t]), share * static_cast<double>(draws), draws % total ? 1 : 1e-3);
    }
  }
}

TEST(TaskMix, WeightsFollowTheSettings) {
  const auto weights = [](const MixSettings& settings) { return mix_weights(sizes, settings); };
  EXPECT_EQ(weights({"capped", 50, 1}), (std::vector<int64_t>{40, 7, 50, 1, 50}));
  EXPECT_EQ(weights({"uniform", 0, 1}), (std::vector<int64_t>{1, 1, 1, 1, 1}));
  const auto warm = weights({"temperature", 0, 2});
  for (size_t t = 0; t < sizes.size(); ++t)
    EXPECT_NEAR(static_cast<double>(warm[t]) / static_cast<double>(warm[2]),
                std::sqrt(static_cast<double>(sizes[t]) / 300), 1e-5);
  EXPECT_EQ(weights({"temperature", 0, 0.01})[3], 1) << "every task is drawn at some time";
}

TEST(TaskMix, SharesHoldInEveryStretch) {
  for (const MixSettings& settings : all_settings) {
    if (settings.sampling == "size") continue;
    const auto weights = mix_weights(sizes, settings);
    const auto total = static_cast<double>(std::accumulate(weights.begin(), weights.end(), int64_t{0}));
    const auto draws = first_draws({3, names, sizes, settings}, 8000);
    for (size_t t = 0; t < sizes.size(); ++t) {
      const double share = static_cast<double>(weights[t]) / total;
      int64_t taken = 0;
      for (size_t i = 0; i < draws.size(); ++i) {
        taken += draws[i].first == static_cast<int>(t);
        // Off by what a block of 40 may hold back.
        ASSERT_NEAR(static_cast<double>(taken), share * static_cast<double>(i + 1), 40 * share + 2)
            << settings.sampling << " " << names[t] << " after " << i + 1;
      }
      EXPECT_NEAR(static_cast<double>(taken), share * 8000, 1.5) << settings.sampling << " " << names[t];
    }
  }
}

TEST(TaskMix, BySizeAnEpochHasEachExampleOnce) {
  const int64_t epoch = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  const auto draws = first_draws({3, names, sizes, all_settings[0]}, 3 * epoch);
  for (int64_t e = 0; e < 3; ++e) {
    std::map<std::pair<int, int64_t>, int> times;
    for (int64_t i = e * epoch; i < (e + 1) * epoch; ++i) ++times[draws[static_cast<size_t>(i)]];
    EXPECT_EQ(times.size(), static_cast<size_t>(epoch));
    for (const auto& [example, n] : times) {
      EXPECT_EQ(n, 1);
      EXPECT_TRUE(example.second >= 0 && example.second < sizes[static_cast<size_t>(example.first)]);
    }
  }
  EXPECT_FALSE(std::equal(draws.begin(), draws.begin() + epoch, draws.begin() + epoch)) << "another order each";
}

// Pass p of a task is a permutation of its examples, and another one than pass p - 1.
TEST(TaskMix, EveryExampleOfATaskEquallyOften) {
  for (const MixSettings& settings : all_settings) {
    if (settings.sampling == "size") continue;
    std::map<int, std::vector<int64_t>> example_counts;
    for (const auto& [task, example] : first_draws({5, names, sizes, settings}, 6000))
      example_counts[task].push_back(example);
    ASSERT_EQ(example_counts.size(), sizes.size());
    for (const auto& [task, drawn] : example_counts) {
      const auto n = static_cast<size_t>(sizes[static_cast<size_t>(task)]);
      for (size_t begin = 0; begin + n <= drawn.size(); begin += n) {
        std::vector<int64_t> pass(drawn.begin() + static_cast<int64_t>(begin),
                                  drawn.begin() + static_cast<int64_t>(begin + n));
        std::sort(pass.begin(), pass.end());
        for (size_t i = 0; i < n; ++i) ASSERT_EQ(pass[i], static_cast<int64_t>(i)) << settings.sampling;
      }
      if (n > 6 && drawn.size() >= 2 * n) {
        EXPECT_FALSE(std::equal(drawn.begin(), drawn.begin() + static_cast<int64_t>(n),
                                drawn.begin() + static_cast<int64_t>(n)));
      }
    }
  }
}

TEST(TaskMix, APureFunctionOfSeedAndIndex) {
  for (const MixSettings& settings : all_settings) {
    const auto draws = first_draws({3, names, sizes, settings}, 2000);
    TaskMix again(3, names, sizes, settings);
    for (int64_t i = 0; i < 2000; ++i) {
      const int64_t asked = i % 2 ? (i * 773) % 2000 : 1999 - i;
      const Draw draw = again.draw(asked);
      ASSERT_EQ(std::pair(draw.task, draw.example), draws[static_cast<size_t>(asked)]) << settings.sampling;
    }
    const auto other = first_draws({4, names, sizes, settings}, 2000);
    int same = 0;
    for (size_t i = 0; i < 2000; ++i) same += draws[i] == other[i];
    EXPECT_LT(same, 400) << settings.sampling << ": another seed, another order";
  }
}

TEST(TaskMix, OneTaskAloneHasTheOrderOfItsExampleSampler) {
  for (const MixSettings& settings : all_settings) {
    TaskMix mix(3, {"tomi"}, {90}, settings);
    ExampleSampler sampler(3, "tomi", 90);
    for (int64_t i = 0; i < 400; ++i) ASSERT_EQ(mix.draw(i).example, sampler.example(i)) << settings.sampling;
  }
}

}  // namespace
}  // namespace gaggle
