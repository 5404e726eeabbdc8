// The records of all ranks are read together: who is missing, where the ranks parted, who waited for whom.
#include "doctor/collective_records.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "comm/record_file.h"

namespace gaggle {
namespace {

CollectiveEntry call(const char* verb, uint64_t number, double took, size_t bytes = 8) {
  return {"world", verb, number, bytes, "lora", 4, -5.0 + static_cast<double>(number), took};
}

RankReport report(int rank, int size, std::vector<CollectiveEntry> calls) {
  return {rank, size, "h" + std::to_string(rank), "no progress", "lora", 4, std::move(calls)};
}

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Divergence, WhoNeverCameAndWhereItWas) {
  const std::string text = divergence_block({report(0, 3, {call("barrier", 1, 0.5), call("all_to_all", 2, -1)}),
                                             report(1, 3, {call("barrier", 1, 0.5)}),
                                             report(2, 3, {call("barrier", 1, 0.5), call("all_to_all", 2, -1)})});
  EXPECT_TRUE(says(text,
                   "rank 1 on host h1 was not in a collective: lora step 4; its last was barrier (collective 1), "
                   "finished 3.5 s before the end.\n"))
      << text;
  EXPECT_TRUE(says(text, "ranks 0, 2 waited in all_to_all (collective 2), lora step 4, for 3 s.\n")) << text;
  EXPECT_FALSE(says(text, "parted") || says(text, "left no record"));
}

TEST(Divergence, TheFirstDifferentCall) {
  const std::string text = divergence_block({report(0, 2, {call("barrier", 1, 1), call("all_gather", 2, -1, 8)}),
                                             report(1, 2, {call("barrier", 1, 1), call("all_gather", 2, -1, 16)})});
  EXPECT_TRUE(says(text,
                   "The ranks parted at collective 2 of world: rank 1 called all_gather of 16 bytes, rank 0 called "
                   "all_gather of 8 bytes.\n"))
      << text;
  EXPECT_TRUE(says(divergence_block({report(0, 2, {call("barrier", 1, -1)}), report(1, 2, {call("broadcast", 1, -1)})}),
                   "rank 0 called barrier, rank 1 called broadcast of 8 bytes"));
}

TEST(Divergence, ARankWithoutARecordAndANetworkThatDoesNotMove) {
  EXPECT_TRUE(says(divergence_block({report(0, 3, {call("barrier", 1, -1)})}), "ranks 1, 2 left no record"));
  EXPECT_TRUE(says(divergence_block({report(0, 2, {call("barrier", 1, -1)}), report(1, 2, {call("barrier", 1, -1)})}),
                   "the network between them did not move"));
}

TEST(RecordFile, ComesBackAsItWasWritten) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "records";
  std::filesystem::remove_all(folder);
  EXPECT_TRUE(read_rank_reports(folder).empty());
  const auto rank = std::make_shared<RankRecord>();
  CollectiveRecord record(rank);
  record.begin("barrier", 0);
  record.end();
  record.begin("all_gather", 12);
  set_record_folder(folder);
  write_record_file(*rank, 1, 2, "no progress within 2 s");
  write_record_file(*rank, 0, 2, "no progress within 2 s");
  set_record_folder({});
  const auto reports = read_rank_reports(folder);
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_EQ(reports[1].rank, 1);
  EXPECT_EQ(reports[0].reason, "no progress within 2 s");
  ASSERT_EQ(reports[0].collectives.size(), 2U);
  EXPECT_EQ(reports[0].collectives[1].verb, "all_gather");
  EXPECT_GE(reports[0].collectives[0].took, 0);
  EXPECT_LT(reports[0].collectives[1].took, 0);
  forget_records(folder);
  EXPECT_TRUE(read_rank_reports(folder).empty());
}

}  // namespace
}  // namespace gaggle
