// The lines that people watch.
#include "report/progress.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "base/screen.h"
#include "report/live.h"

namespace gaggle {
namespace {

WorkerStatus example() {
  WorkerStatus worker;
  worker.progress = {"tomi", "lora", 37, 60, 0.412, 0.88, 5e-3, 1420.4, 21, 0.55, 0};
  return worker;
}

TEST(Progress, LineSaysEverythingWithUnits) {
  EXPECT_EQ(progress_line(example(), 7),
            "rank 0 · tomi    · lora   37/60 · loss 0.412 · |g| 0.88 · lr 5.0e-03 · 1,420 tok/s · "
            "55% of its GEMM rate · 0:21 left");
}

// What matters least goes first, and nothing is cut but the name.
TEST(Progress, NarrowLinesLeaveOutWholeParts) {
  const std::string whole = progress_line(example(), 4);
  for (size_t columns = 20; columns < 140; ++columns) {
    const std::string line = progress_line(example(), 4, columns);
    EXPECT_TRUE(columns_of(line) <= columns || line == "rank 0 · tomi     · lora   37/60") << columns << line;
    std::istringstream parts(line);
    for (std::string word; parts >> word;) EXPECT_NE(whole.find(word), std::string::npos) << line;
  }
  EXPECT_EQ(progress_line(example(), 4, 60), "rank 0 · tomi · lora   37/60 · loss 0.412 · 0:21 left");
  WorkerStatus longer = example();
  longer.progress.item = "super_natural_instructions_task_0001_of_many";
  const std::string line = progress_line(longer, 44, 60);
  EXPECT_NE(line.find("of_many · lora   37/60"), std::string::npos) << line;
  EXPECT_LE(columns_of(line), 60u) << line;
}

TEST(Progress, UnmeasuredGemmRateIsLeftOut) {
  WorkerStatus worker = example();
  worker.progress.gemm_share = 0;
  EXPECT_EQ(progress_line(worker, 4).find("GEMM"), std::string::npos);
}

TEST(Progress, ScoringHasNoLossOrRate) {
  WorkerStatus worker;
  worker.progress = {"arrow · tomi", "score", 3, 24};
  EXPECT_EQ(progress_line(worker, 12), "rank 0 · arrow · tomi · score   3/24");
}

TEST(LiveView, WhereThereIsNoTerminalLinesArePlainAndRare) {
  testing::internal::CaptureStdout();
  {
    LiveView view(1000);
    view.draw({example()}, 0.5, "1 of 2 experts");
    view.draw({example()}, 0.5, "1 of 2 experts");
    view.end("2 of 2 experts done");
  }
  EXPECT_EQ(testing::internal::GetCapturedStdout(),
            progress_line(example(), 4) + "\n1 of 2 experts\n2 of 2 experts done\n");
}

}  // namespace
}  // namespace gaggle
