// What one rank does in the MPI tests: `mpirun -np N mpi_ranks SCENARIO`. Exit code 0, no output: all is well.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "../verbs.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pulse.h"
#include "comm/mpi_job.h"

namespace gaggle {
namespace {

using namespace std::chrono_literals;

// The same verbs in one piece, then in pieces of 1000 bytes.
int verbs() {
  auto world = make_mpi_world({60, 60});
  test::expect_all_verbs(*world);
  set_mpi_chunk_bytes_for_test(1000);
  test::expect_all_verbs(*world);
  return static_cast<int>(finish_mpi(testing::Test::HasFailure() ? Exit::failed : Exit::done, "", true));
}

// Rank 1 sleeps through a collective; the others' deadline is to name it.
int silent() {
  auto world = make_mpi_world({60, 60});
  world->barrier();
  if (world->rank() == 1) std::this_thread::sleep_for(60s);
  world->all_gather_text("here");
  return 0;
}

// All work for longer than the deadline, and show it: nobody is ended.
int late() {
  auto world = make_mpi_world({60, 60});
  for (int i = 0; i < 15 + 15 * (world->rank() % 2); ++i) {
    std::this_thread::sleep_for(50ms);
    pulse();
  }
  world->barrier();
  return static_cast<int>(finish_mpi());
}

// Rank 2 dies while the others wait for it in a collective.
int needed() {
  auto world = make_mpi_world({60, 60});
  world->barrier();
  if (world->rank() == 2) ::kill(::getpid(), SIGKILL);
  try {
    world->barrier();
  } catch (const SystemError&) {  // MPI says so too
  }
  return static_cast<int>(finish_mpi(Exit::failed));
}

// Ranks that work for themselves: rank 2 dies, or stands still; the others say goodbye without it.
int loses_one(bool dies) {
  auto world = make_mpi_world({60, 60});
  world->barrier();
  survive_losses();
  if (world->rank() == 2 && dies) ::kill(::getpid(), SIGKILL);
  if (world->rank() == 2) std::this_thread::sleep_for(60s);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(100ms);
    pulse();
  }
  if (world->rank() == 0) {
    while (lost_ranks().empty()) std::this_thread::sleep_for(10ms), pulse();
    std::printf("rank 0 went on without rank %d, code 0\n", lost_ranks()[0]);
    std::fflush(stdout);
  }
  ::_exit(static_cast<int>(finish_mpi()));
}

// Rank 2 dies, rank 1 has noticed and waits for nobody; rank 3, which waits for rank 1 alone, is told.
int given_up() {
  auto world = make_mpi_world({60, 60});
  world->barrier();
  survive_losses();
  if (world->rank() == 2) ::kill(::getpid(), SIGKILL);
  if (world->rank() == 1) std::this_thread::sleep_for(4s);
  std::byte data{};
  try {
    if (world->rank() == 3) world->broadcast(std::span(&data, 1), 1);
  } catch (const SystemError& error) {
    std::printf("rank 3: %s\n", error.what());
    std::fflush(stdout);
  }
  ::_exit(static_cast<int>(finish_mpi()));
}

// Rank 1 fails while the others wait for it; rank 0 returns its code and says what it had not said.
int fails() {
  auto world = make_mpi_world({60, 60});
  if (world->rank() == 1) return static_cast<int>(finish_mpi(Exit::bad_input, "tasks.jsonl:3: not JSON", false));
  try {
    world->barrier();
    std::puts("the barrier was passed without rank 1");
  } catch (const SystemError& error) {
    if (std::string(error.what()).find("rank 1 has left: tasks.jsonl:3: not JSON") == std::string::npos)
      std::printf("%s\n", error.what());
  }
  return static_cast<int>(finish_mpi());
}

// Rank 0 hears of everybody, leaves last, and has the worst code of all.
int leaves_last() {
  auto world = make_mpi_world({60, 60});
  const double start = monotonic_seconds();
  if (world->rank() != 0) std::this_thread::sleep_for(1s);
  const Exit code = finish_mpi(world->rank() == 2 ? Exit::some_set_aside : Exit::done);
  if (world->rank() != 0) return static_cast<int>(code);
  const bool waited = monotonic_seconds() - start > 1.2;
  std::printf("rank 0 %s, code %d\n", waited ? "left last" : "did not wait", static_cast<int>(code));
  return 0;
}

}  // namespace
}  // namespace gaggle

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::string scenario = argc > 1 ? argv[1] : "";
  // The first call's deadlines count.
  const bool short_deadline = scenario == "silent" || scenario == "late" || scenario == "dies" || scenario == "stands";
  gaggle::log::set_rank(gaggle::make_mpi_world({60, short_deadline ? 1.0 : 60.0})->rank());
  gaggle::pulse_under_way();
  if (scenario == "verbs") return gaggle::verbs();
  if (scenario == "silent") return gaggle::silent();
  if (scenario == "late") return gaggle::late();
  if (scenario == "dies" || scenario == "stands") return gaggle::loses_one(scenario == "dies");
  if (scenario == "needed") return gaggle::needed();
  if (scenario == "given_up") return gaggle::given_up();
  if (scenario == "fails") return gaggle::fails();
  if (scenario == "leaves_last") return gaggle::leaves_last();
  return 99;
}
