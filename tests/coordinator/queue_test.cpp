// The work queue: every item done once, failures retried once, the dead replaced; the plan and the journals.
#include "coordinator/queue.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <mutex>
#include <thread>

#include "base/file.h"
#include "coordinator/journal.h"

namespace gaggle {
namespace {

struct QueueTest : testing::Test {
  fs::path folder = fs::temp_directory_path() / ("gaggle_queue_" + std::to_string(::getpid()));
  void SetUp() override {
    fs::remove_all(folder);
    fs::create_directories(folder / "done");
  }
  void TearDown() override { fs::remove_all(folder); }

  QueueOptions options(const std::string& worker) {
    QueueOptions options;
    options.folder = folder;
    options.worker = worker;
    options.lease_s = 5;
    options.done = [this](const WorkItem& item) { return fs::exists(folder / "done" / item.key); };
    return options;
  }
  void commit(const WorkItem& item) { std::ofstream(folder / "done" / item.key) << "x"; }
};

std::vector<WorkItem> made_items(int count) {
  std::vector<WorkItem> items;
  for (int i = 0; i < count; ++i) items.push_back({"key" + std::to_string(i), "item" + std::to_string(i), double(i)});
  return items;
}

TEST_F(QueueTest, FourWorkersDoEveryItemOnce) {
  std::mutex mutex;
  std::map<std::string, int> times;
  std::vector<std::thread> workers;
  for (int w = 0; w < 4; ++w)
    workers.emplace_back([&, w] {
      WorkQueue queue(options("w" + std::to_string(w)), made_items(40));
      while (auto taken = queue.next()) {
        {
          const std::lock_guard lock(mutex);
          ++times[taken->item.key];
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        commit(taken->item);
        queue.finish(std::move(*taken));
      }
    });
  for (auto& worker : workers) worker.join();
  EXPECT_EQ(times.size(), 40u);
  for (const auto& [key, count] : times) EXPECT_EQ(count, 1) << key;
  EXPECT_TRUE(WorkQueue(options("last"), made_items(40)).all_done());
  EXPECT_TRUE(fs::is_empty(folder / "work" / "items"));
}

TEST_F(QueueTest, LongestFirstAndHeldItemsAreNamed) {
  WorkQueue a(options("a"), made_items(3)), b(options("b"), made_items(3));
  auto longest = a.next();
  EXPECT_EQ(longest->item.name, "item2");
  auto next = b.next();
  EXPECT_EQ(next->item.name, "item1");
  commit(next->item);
  b.finish(std::move(*next));
  auto last = b.next();
  commit(last->item);
  b.finish(std::move(*last));
  EXPECT_FALSE(b.next());  // at once: the holder is a live process of this host
  const auto held = b.left();
  ASSERT_EQ(held.size(), 1u);
  EXPECT_NE(held[0].note.find("a on "), std::string::npos);
}

TEST_F(QueueTest, WhatWasCommittedWhileItsLeaseWasTakenIsNotDoneAgain) {
  QueueOptions late = options("late");
  int looks = 0;
  late.done = [&](const WorkItem&) { return ++looks > 1; };
  EXPECT_FALSE(WorkQueue(late, made_items(1)).next());
  EXPECT_EQ(looks, 2);
}

TEST_F(QueueTest, WhoIsToldToWaitWaitsForTheOthers) {
  QueueOptions patient = options("b");
  patient.wait = WaitFor::everybody;
  WorkQueue a(options("a"), made_items(1)), b(patient, made_items(1));
  auto held = a.next();
  std::atomic<bool> finished = false;
  std::thread holder([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    commit(held->item);
    finished = true;
    a.finish(std::move(*held));
  });
  EXPECT_FALSE(b.next());
  EXPECT_TRUE(finished);
  holder.join();
}

// All others have left by then: nobody else would take it up.
TEST_F(QueueTest, WhoStaysForItsOwnJobTakesWhatAWorkerOfItLeavesAtTheEnd) {
  for (const bool same_job : {true, false}) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::setenv("SLURM_JOB_ID", same_job ? "17" : "18", 1);
      WorkQueue queue(options("child"), made_items(1));
      const auto taken = queue.next();
      std::ofstream(folder / "taken") << "x";
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      ::kill(::getpid(), SIGKILL);
    }
    while (!fs::exists(folder / "taken")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const std::jthread reaps([child] { ::waitpid(child, nullptr, 0); });
    ::setenv("SLURM_JOB_ID", "17", 1);
    QueueOptions stays = options("first");
    stays.wait = WaitFor::own_job;
    EXPECT_FALSE(WorkQueue(options("second"), made_items(1)).next());
    EXPECT_EQ(WorkQueue(stays, made_items(1)).next().has_value(), same_job);
    ::unsetenv("SLURM_JOB_ID");
    fs::remove_all(folder / "work" / "leases");
    fs::remove(folder / "taken");
  }
}

TEST_F(QueueTest, FailsOnceIsRetriedTwiceIsSetAsideUntilRetry) {
  WorkQueue queue(options("a"), made_items(1));
  EXPECT_FALSE(queue.fail(*queue.next(), "disk full"));
  EXPECT_TRUE(queue.fail(*queue.next(), "disk full again"));
  EXPECT_FALSE(queue.next());
  ASSERT_EQ(queue.set_aside().size(), 1u);
  EXPECT_EQ(queue.set_aside()[0].note, "disk full again");
  EXPECT_FALSE(WorkQueue(options("b"), made_items(1)).next());
  QueueOptions retry = options("c");
  retry.retry = true;
  WorkQueue again(retry, made_items(1));
  EXPECT_FALSE(again.fail(*again.next(), "once more"));
  EXPECT_TRUE(again.fail(*again.next(), "loss is not finite", true));
}

// Its maker died between making and writing it, or a network file system shows it late.
TEST_F(QueueTest, WhoWaitsForALeaseThatSaysNothingSaysSoAndTakesItOver) {
  QueueOptions waiting = options("b");
  waiting.lease_s = 1;
  waiting.say_after_s = 0.1;
  WorkQueue queue(waiting, made_items(1));
  std::ofstream(folder / "work" / "leases" / "key0.1");
  testing::internal::CaptureStderr();
  const auto taken = queue.next();
  const std::string said = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->generation, 2);
  EXPECT_NE(said.find("item0, its lease"), std::string::npos) << said;
  EXPECT_NE(said.find("key0.1 was made and says nothing yet"), std::string::npos) << said;
  EXPECT_NE(said.find("taken over after 1 s"), std::string::npos) << said;
}

TEST_F(QueueTest, WhoWaitsSaysForWhom) {
  QueueOptions patient = options("b");
  patient.wait = WaitFor::everybody;
  patient.say_after_s = 0.1;
  WorkQueue a(options("a"), made_items(1)), b(patient, made_items(1));
  auto held = a.next();
  std::thread holder([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    commit(held->item);
    a.finish(std::move(*held));
  });
  testing::internal::CaptureStderr();
  EXPECT_FALSE(b.next());
  const std::string said = testing::internal::GetCapturedStderr();
  holder.join();
  EXPECT_NE(said.find("item0, held by a on "), std::string::npos) << said;
  EXPECT_NE(said.find("which is at work"), std::string::npos) << said;
}

TEST_F(QueueTest, KilledWorkersItemIsTakenWithItsCheckpoints) {
  const pid_t child = ::fork();
  if (child == 0) {
    WorkQueue queue(options("child"), made_items(1));
    const auto taken = queue.next();
    std::ofstream(item_folder(folder, "key0", taken->generation) / "checkpoint") << "1";
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  WorkQueue queue(options("parent"), made_items(1));
  auto taken = queue.next();
  ASSERT_TRUE(taken);
  const auto earlier = earlier_folders(folder, "key0", taken->generation);
  ASSERT_EQ(earlier.size(), 1u);
  EXPECT_TRUE(fs::exists(earlier[0] / "checkpoint"));
  queue.give_back(std::move(*taken));
  auto again = queue.next();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->generation, 3);
}

// Workers of one job die at an item: as long as each leaves a checkpoint, the item goes on.
TEST_F(QueueTest, LossesCountOnlyWhereNothingWasGained) {
  ::setenv("SLURM_JOB_ID", "7", 1);
  const auto lose_one = [&](bool with_checkpoint) {
    const pid_t child = ::fork();
    if (child == 0) {
      WorkQueue queue(options("child"), made_items(1));
      const auto taken = queue.next();
      if (!taken) ::_exit(1);
      if (with_checkpoint) {
        const fs::path checkpoint = item_folder(folder, "key0", taken->generation) / "0-00000004";
        fs::create_directories(checkpoint);
        std::ofstream(checkpoint / "COMPLETE") << "x";
      }
      ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status);
  };
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(lose_one(true));
  EXPECT_TRUE(lose_one(false));
  EXPECT_TRUE(lose_one(false));
  WorkQueue queue(options("parent"), made_items(1));
  EXPECT_FALSE(queue.next());
  ASSERT_EQ(queue.set_aside().size(), 1u);
  EXPECT_NE(queue.set_aside()[0].note.find("its worker was lost: child on "), std::string::npos);
  ::unsetenv("SLURM_JOB_ID");
}

TEST_F(QueueTest, JournalsOfThisJobOnly) {
  { Journal other(folder, "w1", "old", 0); }
  Journal a(folder, "w0", "job", 0);
  a.event("committed", "tomi", "key", "v0001");
  WorkerProgress progress;
  progress.item = "tomi";
  progress.step = 7;
  progress.loss = std::nan("");
  a.progress(progress);
  std::ofstream(folder / "work" / "journal" / "w0.jsonl", std::ios::app) << R"({"kind":"progr)";
  JournalReader reader(folder, "job");
  reader.poll();
  ASSERT_EQ(reader.workers().size(), 1u);
  EXPECT_EQ(reader.workers()[0].progress.step, 7);
  EXPECT_TRUE(std::isnan(reader.workers()[0].progress.loss));
  ASSERT_EQ(reader.events().size(), 2u);
  EXPECT_EQ(reader.events()[1].kind, "committed");
  reader.poll();
  EXPECT_EQ(reader.events().size(), 2u);
}

}  // namespace
}  // namespace gaggle
