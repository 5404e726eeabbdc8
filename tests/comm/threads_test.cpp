// Ranks as threads: barriers, deadlines, and what happens to the others when one fails.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "comm/communicator.h"

namespace gaggle {
namespace {

// Nobody passes a barrier before all have come.
TEST(ThreadsBackend, BarrierHoldsBackEverybody) {
  std::atomic<int> arrived = 0;
  run_as_threads(4, 60, [&](Communicator& comm) {
    for (int round = 1; round <= 50; ++round) {
      ++arrived;
      comm.barrier();
      EXPECT_GE(arrived.load(), 4 * round);
      comm.barrier();
    }
  });
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(ThreadsBackend, DeadlineNamesTheSilentRank) {
  const std::string message = error_of([] {
    run_as_threads(4, 0.3, [](Communicator& comm) {
      comm.barrier();
      if (comm.rank() == 2) return std::this_thread::sleep_for(std::chrono::milliseconds(600));
      std::byte value{};
      comm.broadcast(std::span(&value, 1), 2);
    });
  });
  EXPECT_NE(message.find("broadcast (collective 2): rank 2 did not come within 0.3 s"), std::string::npos) << message;
  EXPECT_NE(message.find("barrier"), std::string::npos) << "the record of earlier collectives: " << message;
}

TEST(ThreadsBackend, AFailureReleasesTheOthersAndIsTheOneThrown) {
  const double start = monotonic_seconds();
  std::atomic<int> released = 0;
  EXPECT_THROW(run_as_threads(3, 60,
                              [&](Communicator& comm) {
                                auto part = comm.split(0);
                                if (comm.rank() == 1) throw UserError("no such file");
                                try {
                                  part->barrier();
                                } catch (const SystemError& error) {
                                  EXPECT_NE(std::string(error.what()).find("rank 1 failed: no such file"),
                                            std::string::npos);
                                  ++released;
                                  throw;
                                }
                              }),
               UserError);
  EXPECT_EQ(released, 2);
  EXPECT_LT(monotonic_seconds() - start, 30);
}

TEST(ThreadsBackend, DifferentVerbsAtOnceAreOurMistake) {
  EXPECT_THROW(run_as_threads(2, 5,
                              [](Communicator& comm) {
                                if (comm.rank() == 0) return comm.barrier();
                                comm.all_gather_text("x");
                              }),
               std::logic_error);
}

}  // namespace
}  // namespace gaggle
