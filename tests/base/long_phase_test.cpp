// Work that takes long says so, once where there is no terminal.
#include "base/long_phase.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/screen.h"

namespace gaggle {
namespace {

std::string said(const std::function<void()>& work) {
  testing::internal::CaptureStderr();
  work();
  return testing::internal::GetCapturedStderr();
}

TEST(LongPhase, SaysOneLineInAPipe) {
  const std::string text = said([] {
    LongPhase phase("verifying 4 versions", 4, 0);
    for (int i = 0; i < 4; ++i) phase.add();
  });
  EXPECT_EQ(text, "verifying 4 versions · 25 % · 0:00 left …\n");
}

TEST(LongPhase, IsSilentWhereItIsShortOrInsideAnother) {
  EXPECT_EQ(said([] { LongPhase("short", 1).add(); }), "");
  const std::string text = said([] {
    LongPhase outer("outer", 0, 0);
    LongPhase inner("inner", 1, 0);
    inner.add();
    outer.add();
  });
  EXPECT_EQ(text, "outer …\n");
}

TEST(Bar, IsAsWideAtEveryShare) {
  for (int i = 0; i <= 100; ++i) EXPECT_EQ(columns_of(progress_bar(i / 100.0, "")), columns_of(progress_bar(0, "")));
}

}  // namespace
}  // namespace gaggle
