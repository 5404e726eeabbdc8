// Links between ranks: every pair is met, and the slow ones are named.
#include "doctor/link_speed.h"

#include <gtest/gtest.h>

#include <functional>

namespace gaggle {
namespace {

constexpr LinkSpeed usual = {20e-6, 10e9};

// All pairs of n ranks, alike but for those that `other` knows another speed of.
std::vector<RankLink> links_of(int n, const std::function<LinkSpeed(int a, int b)>& other) {
  std::vector<RankLink> links;
  for (int a = 0; a < n; ++a)
    for (int b = a + 1; b < n; ++b) links.push_back({a, b, other(a, b)});
  return links;
}

TEST(LinkSpeed, EveryPairIsMeasuredOnce) {
  for (const int n : {1, 2, 5})
    run_as_threads(n, 60, [&](Communicator& comm) {
      const auto links = measure_pairs(comm, 30);
      ASSERT_EQ(static_cast<int>(links.size()), n * (n - 1) / 2);
      size_t at = 0;
      for (int a = 0; a < n; ++a)
        for (int b = a + 1; b < n; ++b) {
          EXPECT_EQ(links[at].a, a);
          EXPECT_EQ(links[at].b, b);
          EXPECT_GT(links[at++].speed.bytes_per_s, 0);
        }
    });
}

TEST(LinkSpeed, WithoutTimeNothingIsMeasured) {
  run_as_threads(3, 60, [](Communicator& comm) { EXPECT_TRUE(measure_pairs(comm, 0).empty()); });
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
  EXPECT_TRUE(slow_links(links_of(4, [](int, int) { return usual; }), {"a", "b", "c", "d"}).empty());
  EXPECT_TRUE(slow_links({}, {"a"}).empty());
}

TEST(SlowLinks, AHostWhoseLinksAreSlowIsNamedOnce) {
  const auto links = links_of(5, [](int a, int b) { return a == 2 || b == 2 ? LinkSpeed{20e-6, 1e9} : usual; });
  const auto sentences = slow_links(links, {"a", "b", "c", "d", "e"});
  ASSERT_EQ(sentences.size(), 1u);
  EXPECT_EQ(sentences[0],
            "c is slow to talk to: 20.0 µs, 1.00 GB/s in the middle of its links, 20.0 µs, 10.00 GB/s elsewhere");
}

TEST(SlowLinks, ASingleLinkIsNamedByItsEnds) {
  const auto links = links_of(5, [](int a, int b) { return a == 1 && b == 4 ? LinkSpeed{900e-6, 10e9} : usual; });
  const auto sentences = slow_links(links, {"a", "b", "c", "d", "e"});
  ASSERT_EQ(sentences.size(), 1u);
  EXPECT_NE(sentences[0].find("b and e: 900.0 µs"), std::string::npos);
}

}  // namespace
}  // namespace gaggle
