// Philox against the published known answers, and what the keyed draws promise.
#include "base/philox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace gaggle {
namespace {

// Known answers of Random123's kat_vectors for philox4x32 with 10 rounds.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Philox, NormalHasTheAskedMoments) {
  std::vector<float> values(100000);
  fill_normal(random_key("lora_A", {1, 2}), 0.5, values);
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / 1e5;
  double square = 0;
  for (float v : values) square += (v - mean) * (v - mean);
  EXPECT_NEAR(mean, 0, 0.01);
  EXPECT_NEAR(std::sqrt(square / 1e5), 0.5, 0.01);
}

TEST(Philox, PermutationHoldsEveryNumberOnce) {
  auto order = random_permutation(random_key("order", {7, 0}), 1000);
  auto other = random_permutation(random_key("order", {7, 1}), 1000);
  EXPECT_NE(order, other);
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(Philox, KeysDependOnPurposeAndOrderOfNumbers) {
  EXPECT_NE(random_key("a", {1, 2}), random_key("a", {2, 1}));
  EXPECT_NE(random_key("a", {1, 2}), random_key("b", {1, 2}));
  EXPECT_NE(random_key("a", {1}), random_key("a", {1, 0}));
}

}  // namespace
}  // namespace gaggle
