// Who differs from the others, by majority and by the median; and cores as ranges.
#include "doctor/odd_one.h"

#include <gtest/gtest.h>

#include "base/table.h"
#include "doctor/rank_facts.h"

namespace gaggle {
namespace {

TEST(OddOne, NobodyIsOddAmongEquals) {
  EXPECT_EQ(disagreement({"a", "b"}, {"1", "1"}), "");
  EXPECT_EQ(disagreement({}, {}), "");
}

TEST(OddOne, TheMajorityIsRight) {
  EXPECT_EQ(disagreement({"a", "b", "c"}, {"1", "2", "1"}), "b has 2, the others 1");
  EXPECT_EQ(disagreement({"a", "b", "c", "d", "e"}, {"3", "2", "1", "1", "1"}), "b has 2; a has 3, the others 1");
  // A host counts by its ranks, and is named once.
  EXPECT_EQ(disagreement({"a", "a", "b", "b", "c", "c"}, {"1", "1", "2", "2", "1", "1"}), "b has 2, the others 1");
}

TEST(OddOne, WithoutAMajorityAllAreNamed) { EXPECT_EQ(disagreement({"a", "b"}, {"1", "2"}), "a has 1; b has 2"); }

TEST(OddOne, RanksOfADividedHostAreNamed) {
  EXPECT_EQ(disagreement({"a", "a", "a"}, {"1", "2", "1"}), "rank 1 on a has 2, the others 1");
}

TEST(OddOne, ManyAreCounted) {
  EXPECT_EQ(disagreement({"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"},
                         {"2", "2", "2", "2", "2", "1", "1", "1", "1", "1", "1"}),
            "a, b, c, d and 1 more have 2, the others 1");
}

TEST(OddOne, FarBelowTheMedian) {
  EXPECT_EQ(far_below({10, 9, 6, 11, 10}, 0.7), std::vector<size_t>{2});
  EXPECT_TRUE(far_below({10, 9}, 0.7).empty());
  EXPECT_TRUE(far_below({}, 0.7).empty());
}

TEST(HostFacts, CoresAreShownAsRanges) {
  EXPECT_EQ(ranges_text({0, 1, 2, 8, 10, 11}, 2, ","), "0-2,8,10-11");
  EXPECT_EQ(ranges_text({}, 2, ","), "");
}

TEST(HostFacts, AreThere) {
  const RankFacts facts = host_facts();
  EXPECT_FALSE(facts.host.empty());
  EXPECT_GE(facts.cores, facts.allowed_cores);
  EXPECT_GE(facts.memory_bytes, facts.available_bytes);
  EXPECT_GT(facts.available_bytes, 0u);
}

}  // namespace
}  // namespace gaggle
