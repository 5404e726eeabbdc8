// The record keeps the last collectives, oldest first, and says which did not finish.
#include "comm/record.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gaggle {
namespace {

TEST(CollectiveRecord, KeepsTheLastSixtyFour) {
  CollectiveRecord record;
  for (int i = 0; i < 80; ++i) {
    record.begin("barrier", 0);
    record.end();
  }
  record.begin("all_gather", 12);
  EXPECT_EQ(record.last_text(), "all_gather (collective 81)");
  const std::string text = record.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 64);
  EXPECT_EQ(text.find("    17 world"), std::string::npos);
  EXPECT_NE(text.find("    18 world"), std::string::npos);
  EXPECT_NE(text.find("not finished"), std::string::npos);
}

TEST(CollectiveRecord, RanksReadAsText) {
  EXPECT_EQ(ranks_text({2}), "rank 2");
  EXPECT_EQ(ranks_text({0, 3}), "ranks 0, 3");
  EXPECT_EQ(ranks_text({0, 1, 3, 4, 5, 9}), "ranks 0, 1, 3-5, 9");
}

}  // namespace
}  // namespace gaggle
