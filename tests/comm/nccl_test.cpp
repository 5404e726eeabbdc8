// NCCL's bad days, by the fake: every one ends within its deadline, with a sentence, on every rank.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "nccl_ranks.h"

namespace gaggle {
namespace {

using test::fake_options;
using test::FakeNccl;

constexpr size_t bytes = 1000;

void gather(Communicator& comm) {
  const std::vector<std::byte> mine(bytes, static_cast<std::byte>(comm.rank()));
  std::vector<std::byte> all(bytes * static_cast<size_t>(comm.size()));
  comm.device()->all_gather(mine, all);
}

// What each rank's error was; "" for none. No error reaches the other threads, so that each meets its own.
std::vector<std::string> errors_of(int ranks, FakeNccl& fake, const NcclOptions& options,
                                   const std::function<void(Communicator&)>& body) {
  std::vector<std::string> errors(static_cast<size_t>(ranks));
  test::run_with_nccl(ranks, fake, options, [&](Communicator& comm) {
    try {
      body(comm);
    } catch (const SystemError& error) {
      errors[static_cast<size_t>(comm.rank())] = error.what();
    }
    comm.barrier();
  });
  return errors;
}

void expect_in(const std::string& part, const std::string& whole) {
  EXPECT_NE(whole.find(part), std::string::npos) << "'" << part << "' is not in '" << whole << "'";
}

TEST(Nccl, ASilentRankIsFoundAtTheDeadlineAndEverybodyGetsAway) {
  for (const int start_polls : {0, 1 << 30}) {  // found by the watcher; while the group is being started
    std::mutex mutex;
    std::vector<std::string> told;
    FakeNccl fake({.start_polls = start_polls, .silent_rank = 1});
    NcclOptions options = fake_options(0.3, 60);
    options.on_failure = [&](const std::string& message) {
      const std::lock_guard lock(mutex);
      told.push_back(message);
    };
    const double start = monotonic_seconds();
    const auto errors = errors_of(3, fake, options, gather);
    EXPECT_LT(monotonic_seconds() - start, 10);
    for (const std::string& error : errors) expect_in("all_gather (collective 2 of world/0 over NCCL), ", error);
    expect_in(start_polls ? "starting on the GPU" : "data on its way", errors[0]);
    expect_in("ranks 1, 2 did not come within 0.3 s. Last collectives of rank 0:", errors[0]);
    expect_in("connect", errors[0]);
    EXPECT_EQ(fake.aborts(), 3);
    EXPECT_EQ(fake.communicators(), 0);
    EXPECT_EQ(std::multiset(told.begin(), told.end()), std::multiset(errors.begin(), errors.end()));
  }
}

TEST(Nccl, TheFirstCollectiveMayTakeLongerThanTheNext) {
  FakeNccl fake({.silent_rank = 0, .silent_after = 3});
  const double start = monotonic_seconds();
  const auto errors = errors_of(2, fake, fake_options(60, 0.2), [](Communicator& comm) {
    if (comm.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(400));  // longer than 0.2 s
    for (int i = 0; i < 5; ++i) gather(comm);
  });
  EXPECT_LT(monotonic_seconds() - start, 20);
  for (const std::string& error : errors) {
    expect_in("all_gather (collective 5 of world/0 over NCCL)", error);
    expect_in("within 0.2 s", error);
  }
}

TEST(Nccl, AnAsynchronousErrorEndsTheVerbAndAllAfterIt) {
  FakeNccl fake({.silent_rank = 0, .silent_after = 2, .error_after = 2});
  const auto errors = errors_of(2, fake, fake_options(), [](Communicator& comm) {
    for (int i = 0; i < 2; ++i) gather(comm);
    try {
      gather(comm);
    } catch (const SystemError& error) {
      expect_in("among ranks ", error.what());
    }
    gather(comm);
  });
  for (const std::string& error : errors)
    expect_in("(collective 4 of world/0 over NCCL), data on its way, among", error);
  expect_in("ranks 1 and 0: remote process exited", errors[1]);
  EXPECT_EQ(fake.aborts(), 2);
}

void exchange(Communicator& comm, size_t out, size_t in) {
  const std::vector<std::byte> mine(out);
  std::vector<std::byte> theirs(in);
  const bool first = comm.rank() == 0;
  const std::vector<std::span<const std::byte>> send{first ? std::span<const std::byte>() : mine,
                                                     first ? mine : std::span<const std::byte>()};
  const std::vector<std::span<std::byte>> receive{first ? std::span<std::byte>() : theirs,
                                                  first ? theirs : std::span<std::byte>()};
  comm.device()->all_to_all(send, receive);
}

TEST(Nccl, AGroupThatDoesNotMatch) {
  FakeNccl fake;  // 10 bytes are sent where 11 are expected
  const auto errors =
      errors_of(2, fake, fake_options(), [](Communicator& comm) { exchange(comm, 10, comm.rank() == 0 ? 10 : 11); });
  for (const std::string& error : errors) expect_in("invalid usage", error);

  FakeNccl other;  // rank 1 expects nothing
  const auto alone = errors_of(2, other, fake_options(0.3, 0.3),
                               [](Communicator& comm) { exchange(comm, comm.rank() == 0 ? 10 : 0, 0); });
  expect_in("all_to_all (collective 2 of world/0 over NCCL), data on its way: rank 1 did not come", alone[0]);
  EXPECT_EQ(alone[1], "");
}

TEST(Nccl, InitThatFailsOrNeverEnds) {
  FakeNccl never({.init_never_on = 1});
  for (const std::string& error : errors_of(3, never, fake_options(0.3), gather))
    expect_in("connect (collective 1 of world/0 over NCCL), connecting the ranks: ranks ", error);
  EXPECT_EQ(never.communicators(), 0);

  // The others hear of it from the host's communicator.
  FakeNccl fails({.init_fails_on = 1});
  std::mutex mutex;
  std::set<std::string> errors;
  EXPECT_THROW(test::run_with_nccl(3, fails, fake_options(),
                                   [&](Communicator& comm) {
                                     try {
                                       gather(comm);
                                     } catch (const SystemError& error) {
                                       const std::lock_guard lock(mutex);
                                       errors.insert(error.what());
                                       throw;
                                     }
                                   }),
               SystemError);
  ASSERT_EQ(errors.size(), 2u);
  expect_in("connect (collective 1 of world/0 over NCCL) was given up: rank 1 failed", *errors.begin());
  expect_in("among ranks 1 and 0, 2: unhandled system error", *errors.rbegin());
}

TEST(Nccl, ARankThatThrowsReleasesThoseWhoWaitForItsData) {
  FakeNccl fake;
  const double start = monotonic_seconds();
  std::atomic<int> released = 0;
  EXPECT_THROW(
      test::run_with_nccl(3, fake, fake_options(),
                          [&](Communicator& comm) {
                            gather(comm);
                            if (comm.rank() == 2) throw UserError("no such file");
                            try {
                              gather(comm);
                            } catch (const SystemError& error) {
                              expect_in("(collective 3 of world/0 over NCCL) was given up: rank 2 failed: no such file",
                                        error.what());
                              ++released;
                              throw;
                            }
                          }),
      UserError);
  EXPECT_EQ(released, 2);
  EXPECT_LT(monotonic_seconds() - start, 20);
}

// The verb returns while its data is still being computed, and what reads the result waits on the stream.
TEST(Nccl, WaitsForTheComputingStreamAndNotForTheHost) {
  FakeNccl fake;
  run_as_threads(2, 60, [&](Communicator& world) {
    const GpuCalls gpu = fake.tables().gpu;
    GpuStream* const compute = gpu.make_stream();
    GpuEvent* const read = gpu.make_event();
    GpuEvent* const gate = fake.make_gate();
    // A deadline counts from the moment when this rank's own computation is done.
    NcclOptions options = fake_options(0.2, 0.2);
    options.compute_stream = [compute] { return compute; };
    {
      const auto comm = with_device(world.split(0), fake.tables(), options);
      const int value = 7 + comm->rank();
      int mine = 0, all[2] = {-1, -1}, result[2] = {};
      comm->device();
      gpu.wait(compute, gate);
      gpu.copy(&mine, &value, sizeof mine, compute);
      comm->device()->all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
      gpu.copy(result, all, sizeof all, compute);
      gpu.record(read, compute);
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      EXPECT_FALSE(gpu.done(read));
      comm->barrier();
      fake.open(gate);
      gpu.wait(nullptr, read);
      EXPECT_EQ(result[0], 7);
      EXPECT_EQ(result[1], 8);
      comm->barrier();
    }
    gpu.free_event(read);
    gpu.free_event(gate);
    gpu.free_stream(compute);
  });
}

}  // namespace
}  // namespace gaggle
