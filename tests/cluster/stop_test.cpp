// Signals, the STOP file and the deadline, each with its exit code.
#include "cluster/stop.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <thread>

namespace gaggle {
namespace {

class Stop : public testing::Test {
 protected:
  void SetUp() override {
    clear_stop_for_test();
    std::signal(SIGINT, SIG_DFL);  // a shell's background jobs begin deaf to it
    folder_ = std::filesystem::temp_directory_path() / "gaggle_stop_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    clear_stop_for_test();
    std::filesystem::remove_all(folder_);
  }
  std::filesystem::path folder_;
};

TEST_F(Stop, NothingAsked) {
  watch_for_stop(folder_, 0);
  EXPECT_EQ(stop_requested(), std::nullopt);
}

TEST_F(Stop, SignalsMeanResumable) {
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) {
    clear_stop_for_test();
    watch_for_stop(folder_, 0);
    std::raise(signal);
    EXPECT_EQ(stop_requested(), Exit::resumable);
  }
}

TEST_F(Stop, TheSecondCtrlCEndsAtOnce) {
  EXPECT_EXIT(
      {
        watch_for_stop(folder_, 0);
        std::raise(SIGINT);
        watch_for_stop(folder_, 0);  // as when the run folder is known
        std::raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "");
}

TEST_F(Stop, FileThatIsThereAtTheStartCountsAtOnce) {
  std::ofstream(folder_ / "STOP") << "";
  watch_for_stop(folder_, 0);
  EXPECT_EQ(stop_requested(), Exit::stopped);
  std::filesystem::remove(folder_ / "STOP");
  EXPECT_EQ(stop_requested(), Exit::stopped) << "an answer stays the answer";
}

TEST_F(Stop, FileThatComesLaterIsSeenWithinSeconds) {
  watch_for_stop(folder_, 0);
  EXPECT_EQ(stop_requested(), std::nullopt);
  std::ofstream(folder_ / "STOP") << "";
  std::this_thread::sleep_for(std::chrono::milliseconds(2100));
  EXPECT_EQ(stop_requested(), Exit::stopped);
}

TEST_F(Stop, DeadlineMeansResumable) {
  watch_for_stop(folder_, 0.05 / 60);
  EXPECT_EQ(stop_requested(), std::nullopt);
  std::this_thread::sleep_for(std::chrono::milliseconds(80));
  EXPECT_EQ(stop_requested(), Exit::resumable);
}

// `gaggle … | head`: whoever reads the other end of the pipe leaves.
TEST_F(Stop, OutputThatNobodyReadsMeansResumable) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::fflush(stdout);
  const int before = ::dup(STDOUT_FILENO);
  ::dup2(ends[1], STDOUT_FILENO);
  watch_for_stop(folder_, 0);
  const auto read = stop_requested();
  ::close(ends[0]);
  watch_for_stop(folder_, 0);  // looks at once
  const auto unread = stop_requested();
  ::dup2(before, STDOUT_FILENO);
  ::close(before);
  ::close(ends[1]);
  EXPECT_EQ(read, std::nullopt);
  EXPECT_EQ(unread, Exit::resumable);
}

TEST_F(Stop, TheTimeRunsFromWhenItWasFirstTold) {
  watch_for_stop({}, 0.05 / 60);
  std::this_thread::sleep_for(std::chrono::milliseconds(80));
  watch_for_stop(folder_, 0.05 / 60);
  EXPECT_EQ(stop_requested(), Exit::resumable);
}

}  // namespace
}  // namespace gaggle
