// The watch names the rank whose fault it is: gone, standing still at work, behind, or in another collective.
#include "comm/watch.h"

#include <gtest/gtest.h>

#include <cstring>

namespace gaggle {
namespace {

Heartbeat at_work(uint64_t count, int64_t step) {
  Heartbeat beat;
  beat.count = count;
  beat.step = step;
  beat.under_way = 1;
  std::strcpy(beat.phase, "lora");
  return beat;
}

Heartbeat waiting(uint64_t count, int64_t step, const char* verb, uint64_t number, const char* group = "world") {
  Heartbeat beat = at_work(count, step);
  beat.number = number;
  std::strcpy(beat.verb, verb);
  std::strcpy(beat.group, group);
  return beat;
}

// Three ranks on two hosts, all heard of every second from 0 to `until`, saying the same.
Watch three(std::vector<Heartbeat> beats, double until, int deaf_rank = -1) {
  Watch watch({"h1", "h1", "h2"}, {100, 10}, 0);
  for (double now = 0; now <= until; ++now)
    for (int rank = 0; rank < 3; ++rank)
      if (rank != deaf_rank || now <= 1) watch.heard(rank, beats[static_cast<size_t>(rank)], now);
  return watch;
}

TEST(Watch, IsQuietWhileAllMove) {
  Watch watch({"h1", "h1", "h2"}, {100, 10}, 0);
  for (int now = 0; now < 100; ++now) {
    for (int rank = 0; rank < 3; ++rank) watch.heard(rank, at_work(static_cast<uint64_t>(now / 9), now), now);
    EXPECT_FALSE(watch.verdict(now)) << now;
  }
}

TEST(Watch, NamesTheRankThatSleepsAtWork) {
  const Watch watch = three({waiting(5, 4, "all_to_all", 17), waiting(5, 4, "all_to_all", 17), at_work(4, 3)}, 10);
  EXPECT_FALSE(watch.verdict(9.5));
  const auto verdict = watch.verdict(10);
  EXPECT_EQ(verdict.missing, std::vector{2});
  EXPECT_EQ(verdict.text,
            "no progress within 10 s: rank 2 on host h2 did not come. Where everybody is:\n"
            "  ranks 0, 1 on host h1: waits in all_to_all (collective 17), lora step 4 (10 s)\n"
            "  rank 2 on host h2: at work, lora step 3 (10 s)");
}

TEST(Watch, NamesTheHostThatIsNotHeardOf) {
  const auto wait = waiting(5, 4, "all_gather", 9);
  const auto verdict = three({wait, wait, wait}, 12, /*deaf_rank=*/2).verdict(12);
  EXPECT_EQ(verdict.missing, std::vector{2});
  EXPECT_NE(verdict.text.find("rank 2 on host h2: not heard of for 11 s, before that: waits in all_gather"),
            std::string::npos)
      << verdict.text;
}

TEST(Watch, NamesTheRankThatIsBehindAndTheOneInAnotherCollective) {
  const auto others = waiting(5, 4, "all_to_all", 17);
  EXPECT_EQ(three({others, waiting(5, 3, "all_to_all", 16), others}, 11).verdict(11).missing, std::vector{1});
  EXPECT_EQ(three({others, waiting(5, 4, "broadcast", 17), others}, 11).verdict(11).missing, std::vector{1});
  // Parts of the world count for themselves.
  const auto part = three({waiting(5, 4, "all_gather", 3, "world/0"), waiting(5, 4, "all_gather", 2, "world/0"),
                           waiting(5, 4, "all_gather", 50, "world/1")},
                          11);
  EXPECT_EQ(part.verdict(11).missing, std::vector{1});
}

TEST(Watch, SaysWhenAllAreThere) {
  const auto all = waiting(5, 4, "all_to_all", 17);
  const auto verdict = three({all, all, all}, 11).verdict(11);
  EXPECT_EQ(verdict.missing.size(), 3U);
  EXPECT_NE(verdict.text.find("although all ranks are there"), std::string::npos);
}

TEST(Watch, NamesTheRankThatWorksOnWhileOthersWait) {
  Watch watch({"h1", "h2"}, {100, 10}, 0);
  for (int now = 0; now <= 10; ++now) {
    watch.heard(0, waiting(5, 4, "barrier", 3), now);
    watch.heard(1, at_work(static_cast<uint64_t>(now), 4), now);
  }
  EXPECT_EQ(watch.verdict(10).missing, std::vector{1});
}

TEST(Watch, IsPatientBeforeTheFirstStepAndWithThoseWhoLeft) {
  Watch watch({"h1", "h2"}, {100, 10}, 0);
  Heartbeat starting = at_work(1, 0), finished = at_work(1, 0);
  starting.under_way = 0;
  finished.leaving = 1;
  for (int now = 0; now < 100; ++now) {
    watch.heard(0, starting, now);
    watch.heard(1, finished, now);
    EXPECT_FALSE(watch.verdict(now));
  }
  watch.heard(0, starting, 100);
  EXPECT_EQ(watch.verdict(100).missing, std::vector{0});
}

TEST(Watch, ASuspendedJobBeginsAnew) {
  Watch watch = three({at_work(1, 1), at_work(1, 1), at_work(1, 1)}, 5);
  watch.begin_anew(1000);
  EXPECT_FALSE(watch.verdict(1009));
  EXPECT_TRUE(watch.verdict(1010));
}

TEST(Watch, ForgetsWhoIsLost) {
  Watch watch = three({at_work(1, 1), at_work(1, 1), at_work(1, 1)}, 5);
  watch.lost(2);
  watch.heard(0, at_work(2, 1), 12);
  watch.heard(1, at_work(2, 1), 12);
  EXPECT_FALSE(watch.verdict(12));
}

}  // namespace
}  // namespace gaggle
