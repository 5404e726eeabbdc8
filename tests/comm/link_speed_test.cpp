// Links between ranks: every pair is met, and the slow ones are named.
#include "comm/link_speed.h"

#include <gtest/gtest.h>

namespace gaggle {
namespace {

std::vector<LinkSpeed> even(size_t n) {
  return std::vector<LinkSpeed>(n * n, {20e-6, 10e9});
}
void set(std::vector<LinkSpeed>& pairs, size_t n, size_t a, size_t b, LinkSpeed speed) {
  pairs[a * n + b] = pairs[b * n + a] = speed;
}

TEST(LinkSpeed, EveryPairIsMeasuredOnce) {
  for (const int n : {1, 2, 5})
    run_as_threads(n, 60, [&](Communicator& comm) {
      const auto pairs = measure_pairs(comm, 30);
      ASSERT_EQ(pairs.size(), static_cast<size_t>(n * n));
      for (int a = 0; a < n; ++a)
        for (int b = 0; b < n; ++b) {
          const auto& link = pairs[static_cast<size_t>(a * n + b)];
          EXPECT_EQ(link.bytes_per_s > 0, a != b);
          EXPECT_EQ(link.latency_s, pairs[static_cast<size_t>(b * n + a)].latency_s);
        }
    });
}

TEST(LinkSpeed, WithoutTimeNothingIsMeasured) {
  run_as_threads(3, 60, [](Communicator& comm) {
    for (const auto& link : measure_pairs(comm, 0)) EXPECT_EQ(link.bytes_per_s, 0);
  });
}

TEST(LinkSpeed, AllToAllAndClocks) {
  run_as_threads(3, 60, [](Communicator& comm) {
    const LinkSpeed speed = measure_all_to_all(comm);
    EXPECT_GT(speed.latency_s, 0);
    EXPECT_GT(speed.bytes_per_s, 0);
    const auto clocks = measure_clocks(comm);
    ASSERT_EQ(clocks.size(), 3u);
    EXPECT_EQ(clocks[0], 0);
    for (const double ahead : clocks) EXPECT_LT(std::abs(ahead), 1);
  });
}

TEST(SlowLinks, NoneAmongEquals) {
  EXPECT_TRUE(slow_links(even(4), {"a", "b", "c", "d"}).empty());
  EXPECT_TRUE(slow_links({{}}, {"a"}).empty());
}

TEST(SlowLinks, AHostWhoseLinksAreSlowIsNamedOnce) {
  auto pairs = even(5);
  for (size_t other : {0, 1, 3, 4}) set(pairs, 5, 2, other, {20e-6, 1e9});
  const auto sentences = slow_links(pairs, {"a", "b", "c", "d", "e"});
  ASSERT_EQ(sentences.size(), 1u);
  EXPECT_EQ(
      sentences[0],
      "c is slow to talk to: 20.0 µs, 1.00 GB/s in the middle of its links, 20.0 µs, 10.00 GB/s elsewhere");
}

TEST(SlowLinks, ASingleLinkIsNamedByItsEnds) {
  auto pairs = even(5);
  set(pairs, 5, 1, 4, {900e-6, 10e9});
  const auto sentences = slow_links(pairs, {"a", "b", "c", "d", "e"});
  ASSERT_EQ(sentences.size(), 1u);
  EXPECT_NE(sentences[0].find("b and e: 900.0 µs"), std::string::npos);
}

TEST(SlowLinks, PairsThatWereNotMeasuredDoNotCount) {
  auto pairs = even(4);
  set(pairs, 4, 0, 1, {});
  EXPECT_TRUE(slow_links(pairs, {"a", "b", "c", "d"}).empty());
}

}  // namespace
}  // namespace gaggle
