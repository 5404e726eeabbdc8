#include "comm/mpi_world.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>

#include "base/log.h"
#include "comm/mpi_job.h"
#include "comm/mpi_transfer.h"
#include "comm/mpi_watchdog.h"
#include "comm/patience.h"

namespace gaggle::mpi {
namespace {

constexpr int goodbye_tag = 1;
constexpr int release_tag = 2;
// What mpirun itself ends with when it has lost a host: launch scripts start again where there was progress.
constexpr int exit_code_of_loss = 205;

struct World {
  std::mutex mutex;
  bool started = false, finished = false;
  MPI_Comm data = MPI_COMM_NULL;     // collectives
  MPI_Comm control = MPI_COMM_NULL;  // goodbyes
  std::shared_ptr<RankRecord> record = std::make_shared<RankRecord>();
  std::optional<Watchdog> watchdog;
  int rank = 0, size = 1;
  std::map<int, Goodbye> goodbyes;
};

World& world() {
  static World instance;
  return instance;
}

// Takes the goodbyes that have arrived. A goodbye is "CODE SAID message". Asking about deaths first lets the
// look go on without the dead.
void take_goodbyes(World& state) {
  failed_ranks(state.control);
  while (const auto message = take_message(MPI_ANY_SOURCE, goodbye_tag, state.control)) {
    Goodbye& goodbye = state.goodbyes[message->from];
    char* end = nullptr;
    goodbye.code = static_cast<Exit>(std::strtol(message->bytes.c_str(), &end, 10));
    goodbye.said = std::strtol(end, &end, 10) != 0;
    goodbye.message = end + 1;
  }
}

// How bad an end is, for the one code a job can have.
int badness(Exit code) {
  constexpr Exit from_good_to_bad[] = {Exit::done,    Exit::some_set_aside, Exit::resumable,
                                       Exit::stopped, Exit::bad_input,      Exit::failed};
  return static_cast<int>(std::ranges::find(from_good_to_bad, code) - from_good_to_bad);
}

}  // namespace

Started start(Deadlines deadlines) {
  World& state = world();
  const std::lock_guard lock(state.mutex);
  GAGGLE_CHECK(!state.finished, "MPI was left already");
  if (state.started) return {state.data, state.record};
  int provided = 0;
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_MULTIPLE)
    system_error("this MPI does not offer MPI_THREAD_MULTIPLE, which gaggle needs: use Open MPI 4.1 or newer");
  check(MPI_Comm_dup(MPI_COMM_WORLD, &state.data), "MPI_Comm_dup");
  check(MPI_Comm_dup(MPI_COMM_WORLD, &state.control), "MPI_Comm_dup");
  for (MPI_Comm comm : {MPI_COMM_WORLD, state.data, state.control})
    check(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  MPI_Comm_rank(state.data, &state.rank);
  MPI_Comm_size(state.data, &state.size);
  state.watchdog.emplace(deadlines, state.record);
  state.started = true;
  return {state.data, state.record};
}

std::map<int, Goodbye> goodbyes() {
  World& state = world();
  const std::lock_guard lock(state.mutex);
  take_goodbyes(state);
  return state.goodbyes;
}

namespace {

// A peer that died is no longer waited for.
bool through(Transfer& transfer) {
  try {
    return transfer.test();
  } catch (const SystemError&) {
    return true;
  }
}

void say(Transfer& transfer, std::span<const std::byte> what, int to) {
  try {
    transfer.send(what, to);
  } catch (const SystemError&) {  // it has just died
  }
}

// Everybody stays until rank 0 has heard of everybody who lives; asleep, for that may take hours.
void wait_for_all(World& state, Transfer& mine) {
  std::byte token{1};
  Transfer release(state.control, release_tag);
  if (state.rank != 0) release.receive(std::span(&token, 1), 0);
  Patience patience;
  while (true) {
    take_goodbyes(state);
    const std::set<int> lost = state.watchdog->lost();
    bool heard_all = true;
    for (int rank = 0; rank < state.size; ++rank)
      heard_all = heard_all && (rank == state.rank || lost.contains(rank) || state.goodbyes.contains(rank));
    const bool let_go = state.rank == 0 || lost.contains(0) || through(release);
    if (heard_all && let_go && (!lost.empty() || through(mine))) break;
    patience.wait();
  }
  if (state.rank != 0) return;
  const std::set<int> lost = state.watchdog->lost();
  for (int rank = 1; rank < state.size; ++rank)
    if (!lost.contains(rank)) say(release, std::span(&token, 1), rank);
  while (lost.empty() && !through(release)) patience.wait();
}

// Rank 0's last words: the worst code of all, and what their ranks have not said themselves.
Exit conclude(const World& state, Exit code, const std::string& message) {
  std::string written = message;
  for (const auto& [rank, goodbye] : state.goodbyes) {
    if (badness(goodbye.code) > badness(code)) code = goodbye.code;
    if (goodbye.said || written.find(goodbye.message) != std::string::npos) continue;
    log::error("rank {}: {}", rank, goodbye.message);
    written += "\n" + goodbye.message;
  }
  return code;
}

Exit finish(Exit code, const std::string& message, bool said) {
  World& state = world();
  const std::lock_guard lock(state.mutex);
  if (!state.started || state.finished) return code;
  state.watchdog->leaving();
  const std::string text = fmt::format("{} {} {}", static_cast<int>(code), said ? 1 : 0, message);
  Transfer mine(state.control, goodbye_tag);
  const std::set<int> gone = state.watchdog->lost();
  for (int rank = 0; rank < state.size; ++rank)
    if (rank != state.rank && !gone.contains(rank)) say(mine, std::as_bytes(std::span(text)), rank);
  wait_for_all(state, mine);
  const bool some_lost = !state.watchdog->lost().empty();
  state.watchdog.reset();
  state.finished = true;
  if (!some_lost) {  // MPI_Finalize waits for the dead, often for good
    MPI_Comm_free(&state.control);
    MPI_Comm_free(&state.data);
    // After an error a message may be in flight for good, and MPI_Finalize may wait for it.
    std::thread([code] {
      std::this_thread::sleep_for(std::chrono::seconds(10));
      ::_exit(static_cast<int>(code));
    }).detach();
    check(MPI_Finalize(), "MPI_Finalize");
  }
  if (state.rank == 0) {
    code = conclude(state, code, message);
    // mpirun ends what still writes when its first process is gone.
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  return state.rank == 0 ? code : Exit::done;
}

}  // namespace
}  // namespace gaggle::mpi

namespace gaggle {

// MPI_Abort may hang: it is called from a helper thread, and after 3 s SIGKILL does its work.
void end_mpi_job(const std::string& message) {
  log::error("{}", message);
  std::thread([] { MPI_Abort(MPI_COMM_WORLD, mpi::exit_code_of_loss); }).detach();
  std::this_thread::sleep_for(std::chrono::seconds(3));
  ::kill(::getpid(), SIGKILL);
  std::abort();
}

bool mpi_is_running() {
  auto& state = mpi::world();
  const std::lock_guard lock(state.mutex);
  return state.started && !state.finished;
}

void survive_losses() {
  auto& state = mpi::world();
  const std::lock_guard lock(state.mutex);
  if (state.watchdog) state.watchdog->survive_losses();
}

std::vector<int> lost_ranks() {
  auto& state = mpi::world();
  const std::lock_guard lock(state.mutex);
  if (!state.watchdog) return {};
  const std::set<int> lost = state.watchdog->lost();
  return {lost.begin(), lost.end()};
}

Exit finish_mpi(Exit code, const std::string& message, bool said) { return mpi::finish(code, message, said); }

}  // namespace gaggle
