// What a looker makes of leases of other hosts, of lists of several jobs, and of what is left to do.
#include "coordinator/status.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/file.h"
#include "coordinator/item_list.h"
#include "coordinator/lease_file.h"

namespace gaggle {
namespace {

struct StatusTest : testing::Test {
  fs::path folder = fs::temp_directory_path() / ("gaggle_status_" + std::to_string(::getpid()));
  std::vector<WorkItem> items = {{"k0", "long", 100}, {"k1", "short", 50}, {"k2", "shorter", 40}};
  void SetUp() override {
    fs::remove_all(folder);
    fs::create_directories(folder / "work" / "leases");
  }
  void TearDown() override { fs::remove_all(folder); }
  StatusReader reader() {
    return {folder, [](const WorkItem&) -> std::optional<std::string> { return std::nullopt; }};
  }
  void lease(const std::string& file, uint64_t counter, bool released = false) {
    LeaseRecord record;
    record.counter = counter;
    record.released = released;
    record.worker = "far-1";
    record.process = {"far", "another kernel", 1, 1};
    std::ofstream(folder / "work" / "leases" / file) << lease_bytes(record);
  }
};

TEST_F(StatusTest, AWorkerOfAnotherHostIsWatched) {
  Journal journal(folder, "far-1", "job", 3, publish_items(folder, items));
  journal.event("taken", "long", "k0");
  lease("k0.1", 5, true);
  lease("k0.2", 1);
  lease("k1.1", 9, true);
  StatusReader status = reader();
  const WorkStatus first = status.look();
  EXPECT_TRUE(status.undecided());
  ASSERT_EQ(first.items.size(), 3u);
  EXPECT_TRUE(first.items[0].running);
  EXPECT_EQ(holder_text(first.items[0].holder), "far-1 on far");
  EXPECT_EQ(first.items[0].rank, 3);
  EXPECT_EQ(first.items[1].state, ItemState::open);  // given back
  lease("k0.2", 2);
  EXPECT_TRUE(status.look().items[0].running);
  EXPECT_FALSE(status.undecided());
  EXPECT_NEAR(first.seconds_left, 190, 1);  // one worker, the costs are seconds
}

TEST_F(StatusTest, TheListsOfAllWhoWorkAreShown) {
  publish_items(folder, {{"old", "of a job that nobody runs", 1}});
  const Journal a(folder, "a", "job a", 0, publish_items(folder, items));
  const Journal b(folder, "b", "job b", 0, publish_items(folder, {{"k2", "shorter", 40}, {"k3", "other", 1}}));
  const WorkStatus all = reader().look();
  std::vector<std::string> names;
  for (const ItemStatus& item : all.items) names.push_back(item.item.name);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"long", "other", "short", "shorter"}));
  EXPECT_EQ(all.count(ItemState::open), 4u);
  EXPECT_EQ(all.seconds_left, 0);  // nobody is at an item
}

}  // namespace
}  // namespace gaggle
