// The lines that people watch.
#include "report/progress.h"

#include <gtest/gtest.h>

#include <cstdlib>

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

TEST(Progress, BarIsAsWideAtEveryShare) {
  const auto points = [](const std::string& text) {
    return std::count_if(text.begin(), text.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
  };
  for (int i = 0; i <= 100; ++i) EXPECT_EQ(points(progress_bar(i / 100.0, "")), points(progress_bar(0, "")));
}

TEST(LiveView, WhereThereIsNoTerminalLinesArePlainAndRare) {
  std::FILE* out = std::tmpfile();
  {
    LiveView view(out, 1000);
    view.draw({example()}, 0.5, "1 of 2 experts");
    view.draw({example()}, 0.5, "1 of 2 experts");
  }
  std::string text(4096, '\0');
  std::rewind(out);
  text.resize(std::fread(text.data(), 1, text.size(), out));
  std::fclose(out);
  EXPECT_EQ(text, progress_line(example(), 4) + "\n1 of 2 experts\n");
}

}  // namespace
}  // namespace gaggle
