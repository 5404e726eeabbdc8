#include "base/side_thread.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <vector>

namespace gaggle {
namespace {

TEST(SideThread, DoesOneThingAfterTheOtherAndLeavingWaitsForAll) {
  std::vector<int> done;
  {
    SideThread thread;
    for (int i = 0; i < 100; ++i) thread.run([&done, i] { done.push_back(i); });
    const auto last = thread.run([&done] { done.push_back(100); });
    last.wait();
    EXPECT_EQ(done.size(), 101u);
    thread.run([&done] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      done.push_back(101);
    });
  }
  for (size_t i = 0; i < 102; ++i) EXPECT_EQ(done.at(i), static_cast<int>(i));
}

TEST(SideThread, GivesWhatFailedToWhoAskedForItAndGoesOn) {
  SideThread thread;
  const auto failed = thread.run([] { throw std::runtime_error("broken"); });
  bool done = false;
  thread.run([&done] { done = true; }).get();
  EXPECT_TRUE(done);
  EXPECT_THROW(failed.get(), std::runtime_error);
}

}  // namespace
}  // namespace gaggle
