// Leases: one holder at a time, whatever the file system says too late or not at all.
#include "coordinator/lease.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "coordinator/lease_file.h"

namespace gaggle {
namespace {

struct LeaseTest : testing::Test {
  fs::path folder = fs::temp_directory_path() / ("gaggle_lease_" + std::to_string(::getpid()));
  void SetUp() override { fs::remove_all(folder); }
  void TearDown() override { fs::remove_all(folder); }
};

// Replies that come too late or get lost.
struct BadFiles : LeaseFiles {
  bool stale_list = false, stale_read = false, lose_reply = false, throw_after = false;
  std::map<std::string, std::string> old;
  bool create_exclusive(const fs::path& path, const std::string& content) override {
    const bool made = LeaseFiles::create_exclusive(path, content);
    if (made && throw_after) throw SystemError("no answer");
    return made && !lose_reply;
  }
  std::optional<std::string> read(const fs::path& path) override {
    auto content = LeaseFiles::read(path);
    if (!stale_read || !content) return content;
    return old.emplace(path.string(), *content).first->second;  // what the first read said, for ever
  }
  std::vector<std::string> list(const fs::path& where) override {
    return stale_list ? std::vector<std::string>{} : LeaseFiles::list(where);
  }
};

TEST_F(LeaseTest, OneHolderAndGenerationsRise) {
  LeaseTable a(folder, "a", 60), b(folder, "b", 60);
  auto first = a.try_take("k");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->generation(), 1);
  EXPECT_FALSE(b.try_take("k"));
  EXPECT_NE(b.holder("k")->find("a on "), std::string::npos);
  EXPECT_TRUE(b.seen_alive("k"));
  first->release();
  EXPECT_FALSE(b.holder("k"));
  auto second = b.try_take("k");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->generation(), 2);
  EXPECT_FALSE(second->lost_predecessor());
  EXPECT_FALSE(first->still_mine());
}

TEST_F(LeaseTest, LostRepliesAreRecognised) {
  for (bool with_error : {false, true}) {
    auto files = std::make_shared<BadFiles>();
    files->lose_reply = true;
    files->throw_after = with_error;
    LeaseTable a(folder, "a", 60, files);
    auto lease = a.try_take(with_error ? "k1" : "k2");
    ASSERT_TRUE(lease);
    EXPECT_TRUE(lease->still_mine());
  }
}

// A reader whose reads never change takes the lease of a live holder for dead: the holder must notice, and no
// two may hold one generation.
TEST_F(LeaseTest, StaleReaderTakesOverAndTheHolderKnows) {
  auto files = std::make_shared<BadFiles>();
  files->stale_read = true;
  LeaseTable a(folder, "a", 0.4), b(folder, "b", 0.4, files);
  auto first = a.try_take("k");
  EXPECT_FALSE(b.try_take("k"));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  auto second = b.try_take("k");
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->lost_predecessor());
  EXPECT_FALSE(first->still_mine());
  EXPECT_TRUE(second->still_mine());
}

TEST_F(LeaseTest, StaleListingFindsTheHolderByName) {
  auto files = std::make_shared<BadFiles>();
  LeaseTable a(folder, "a", 60), b(folder, "b", 60, files);
  auto first = a.try_take("k");
  files->stale_list = true;
  EXPECT_FALSE(b.try_take("k"));
  first->release();
  const auto second = b.try_take("k");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->generation(), 2);
}

TEST_F(LeaseTest, AManyWayRaceHasOneWinner) {
  std::vector<std::unique_ptr<Lease>> won(8);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < won.size(); ++i)
    threads.emplace_back([&, i] { won[i] = LeaseTable(folder, "w" + std::to_string(i), 60).try_take("k"); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(std::count_if(won.begin(), won.end(), [](const auto& lease) { return lease != nullptr; }), 1);
}

// What two racing processes say to each other, in memory that both see.
struct Race {
  std::atomic<int> at_the_line, over, winners, double_holders;
};

// Both try for each of the leases at the same moment, and hold what they won until the other has tried too.
void race_for_leases(const fs::path& folder, const std::string& name, int leases, Race& race) {
  const auto meet = [](std::atomic<int>& count, int until) {
    for (++count; count < until;) std::this_thread::yield();
  };
  LeaseTable table(folder, name, 60);
  for (int i = 1; i <= leases; ++i) {
    meet(race.at_the_line, 2 * i);
    const auto lease = table.try_take("k" + std::to_string(i));
    race.winners += lease != nullptr;
    meet(race.over, 2 * i);
    if (race.winners != i) ++race.double_holders;
    if (lease && (!lease->still_mine() || lease->generation() != 1)) ++race.double_holders;
  }
}

TEST_F(LeaseTest, TwoProcessesRacingAThousandTimesHaveOneWinnerEach) {
  constexpr int leases = 1000;
  void* shared = ::mmap(nullptr, sizeof(Race), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  Race& race = *new (shared) Race{};
  const pid_t child = ::fork();
  if (child == 0) {
    race_for_leases(folder, "child", leases, race);
    ::_exit(0);
  }
  race_for_leases(folder, "parent", leases, race);
  int status = 1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(race.winners, leases);
  EXPECT_EQ(race.double_holders, 0);
  ::munmap(shared, sizeof(Race));
}

TEST_F(LeaseTest, DeadProcessOfThisHostIsSeenAtOnce) {
  const pid_t child = ::fork();
  if (child == 0) {
    LeaseTable table(folder, "child", 60);
    const auto lease = table.try_take("k");
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  LeaseTable table(folder, "parent", 60);
  const auto lease = table.try_take("k");
  ASSERT_TRUE(lease);
  EXPECT_EQ(lease->generation(), 2);
  EXPECT_EQ(lease->lost_predecessor()->worker, "child");
}

// Slurm requeued the job: its earlier start is over, wherever that ran.
TEST_F(LeaseTest, AnEarlierStartOfTheSameJobIsDead) {
  LeaseRecord self = own_record(), holder = own_record();
  holder.process.kernel = "another host";
  self.job = holder.job = "17";
  self.restarts = 1;
  EXPECT_TRUE(certainly_dead(holder, self));
  holder.restarts = 1;
  EXPECT_FALSE(certainly_dead(holder, self));
  holder.restarts = 0, holder.job = "18";
  EXPECT_FALSE(certainly_dead(holder, self));
}

// A holder of another host: only its counter can tell.
TEST_F(LeaseTest, StandingCounterExpiresAMovingOneDoesNot) {
  LeaseRecord record = own_record();
  record.process.kernel = "another host";
  record.worker = "far";
  fs::create_directories(folder / "work" / "leases");
  const fs::path file = folder / "work" / "leases" / "k.1";
  LeaseFiles files;
  files.create_exclusive(file, lease_bytes(record));
  LeaseTable table(folder, "near", 1.0);
  const double start = monotonic_seconds();
  uint64_t counter = 0;
  while (monotonic_seconds() - start < 1.2) {
    EXPECT_FALSE(table.try_take("k"));
    files.write_at_start(file, first_line(++counter, false));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_FALSE(table.try_take("k"));
  EXPECT_TRUE(table.seen_alive("k"));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_FALSE(table.try_take("k"));  // standing still, but not yet for so long
  std::this_thread::sleep_for(std::chrono::milliseconds(900));
  EXPECT_TRUE(table.try_take("k"));
}

}  // namespace
}  // namespace gaggle
