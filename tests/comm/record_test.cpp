// The record keeps the last collectives, oldest first, and says which did not finish.
#include "comm/record.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gaggle {
namespace {

TEST(CollectiveRecord, KeepsTheLastSixteen) {
  CollectiveRecord record;
  for (int i = 0; i < 20; ++i) {
    record.begin("barrier", 0);
    record.end();
  }
  record.begin("all_gather", 12);
  EXPECT_EQ(record.last_text(), "all_gather (collective 21)");
  const std::string text = record.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 16);
  EXPECT_EQ(text.find("     5 barrier"), std::string::npos);
  EXPECT_NE(text.find("     6 barrier"), std::string::npos);
  EXPECT_NE(text.find("not finished"), std::string::npos);
}

TEST(CollectiveRecord, RanksReadAsText) {
  EXPECT_EQ(ranks_text({2}), "rank 2");
  EXPECT_EQ(ranks_text({0, 3}), "ranks 0, 3");
}

}  // namespace
}  // namespace gaggle
