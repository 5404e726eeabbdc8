#include "comm/mpi_watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/process.h"
#include "base/pulse.h"
#include "comm/mpi_job.h"
#include "comm/mpi_transfer.h"
#include "comm/mpi_world.h"
#include "comm/record_file.h"

namespace gaggle::mpi {
namespace {

constexpr int beat_tag = 1;
constexpr int order_tag = 2;
constexpr size_t host_bytes = 64;
constexpr double asleep_s = 10;  // between two looks

// Every rank's host, for people.
std::vector<std::string> all_hosts(MPI_Comm comm, int size) {
  std::string mine = this_process().host.substr(0, host_bytes - 1);
  mine.resize(host_bytes, '\0');
  std::string all(host_bytes * static_cast<size_t>(size), '\0');
  check(MPI_Allgather(mine.data(), host_bytes, MPI_BYTE, all.data(), host_bytes, MPI_BYTE, comm), "MPI_Allgather");
  std::vector<std::string> hosts;
  for (size_t at = 0; at < all.size(); at += host_bytes) hosts.emplace_back(all.c_str() + at);
  return hosts;
}

// Takes one message if there is one. Errors (a peer that is gone) are no message: silence is what is judged.
template <class Message>
bool take(Message& message, int& from, int source, int tag, MPI_Comm comm) {
  const auto taken = take_message(source, tag, comm);
  if (!taken || taken->bytes.size() != sizeof message) return false;
  from = taken->from;
  std::memcpy(&message, taken->bytes.data(), sizeof message);
  return true;
}

}  // namespace

// What rank 0 tells the others once a period.
enum class Order : uint8_t { go_on, end };

// One message on its way to a peer; the next waits until it is through, so a cut link costs nothing.
template <class Message>
struct Post {
  Message message{};
  MPI_Request request = MPI_REQUEST_NULL;
  bool free() {
    int done = 1;
    if (request != MPI_REQUEST_NULL && MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) done = 1;
    if (done) request = MPI_REQUEST_NULL;
    return done != 0;
  }
  void send(const Message& what, int to, int tag, MPI_Comm comm) {
    if (!free()) return;
    message = what;
    if (MPI_Isend(&message, sizeof message, MPI_BYTE, to, tag, comm, &request) != MPI_SUCCESS)
      request = MPI_REQUEST_NULL;
  }
};

struct Watchdog::Impl {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0, size = 1;
  Deadlines deadlines;
  double period_s = 1;
  std::shared_ptr<RankRecord> record;
  std::vector<std::string> hosts;
  std::atomic<bool> leaving = false, survives_losses = false;
  // Used by rank 0 alone.
  std::optional<Watch> watch;
  std::vector<Post<Order>> orders;
  // Used by the other ranks.
  Post<Heartbeat> beat;
  double heard_of_first = monotonic_seconds();
  double looked_at = monotonic_seconds();

  mutable std::mutex mutex;  // of the members below
  std::condition_variable wake;
  std::set<int> lost;
  bool ended = false;
  std::thread thread;

  void run() {
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, std::chrono::duration<double>(period_s), [&] { return ended; })) {
      lock.unlock();
      if (monotonic_seconds() - looked_at > asleep_s) begin_anew();
      rank == 0 ? look_at_all() : report();
      looked_at = monotonic_seconds();
      lock.lock();
    }
  }

  // Suspended and continued (gang scheduling, a paused machine): standing still was nobody's fault.
  void begin_anew() {
    heard_of_first = monotonic_seconds();
    watch->begin_anew(monotonic_seconds());
  }

  void look_at_all() {
    Heartbeat message;
    int from = 0;
    for (const int dead : failed_ranks(comm)) {
      if (!survives_losses)
        end_all(fmt::format("rank {} on host {} died, and the others need it", dead, hosts[static_cast<size_t>(dead)]));
      give_up(dead, "its process died");
    }
    while (take(message, from, MPI_ANY_SOURCE, beat_tag, comm)) watch->heard(from, message, monotonic_seconds());
    watch->heard(0, make_heartbeat(*record, leaving), monotonic_seconds());
    for (int r = 1; r < size; ++r)
      if (!watch->is_lost(r)) orders[static_cast<size_t>(r)].send(Order::go_on, r, order_tag, comm);
    if (const auto verdict = watch->verdict(monotonic_seconds())) act_on(verdict);
  }

  void act_on(const Watch::Verdict& verdict) {
    const bool first_is_missing = std::ranges::find(verdict.missing, 0) != verdict.missing.end();
    if (survives_losses && !first_is_missing) {
      for (const int r : verdict.missing) {
        order_end(r);
        give_up(r, verdict.text);
      }
      return;
    }
    end_all(verdict.text);
  }

  [[noreturn]] void end_all(const std::string& why) {
    for (int r = 1; r < size; ++r) order_end(r);
    write_record_file(*record, rank, size, why);
    std::this_thread::sleep_for(std::chrono::duration<double>(2 * period_s));  // the others write theirs
    end_mpi_job(why);
  }

  void order_end(int r) {
    auto& post = orders[static_cast<size_t>(r)];
    for (int look = 0; look < 10 && !post.free(); ++look) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    post.send(Order::end, r, order_tag, comm);
  }

  void give_up(int other, const std::string& why) {
    if (watch->is_lost(other)) return;
    watch->lost(other);
    const std::lock_guard lock(mutex);
    lost.insert(other);
    log::warning("rank {} on host {} is given up, others take over what it held: {}", other,
                 hosts[static_cast<size_t>(other)], why);
  }

  void report() {
    beat.send(make_heartbeat(*record, leaving), 0, beat_tag, comm);
    Order order{};
    int from = 0;
    while (take(order, from, 0, order_tag, comm)) {
      heard_of_first = monotonic_seconds();
      if (order == Order::end) die();
    }
    if (survives_losses) {
      const std::set<int> dead = failed_ranks(comm);
      const std::lock_guard lock(mutex);
      lost.insert(dead.begin(), dead.end());
    }
    const double silence = monotonic_seconds() - heard_of_first;
    if (leaving || silence < (current_pulse().under_way ? deadlines.later_s : deadlines.first_s)) return;
    const std::string text = fmt::format(
        "rank 0 on host {} was not heard of for {:.0f} s: its process, its host or "
        "the network to it is gone",
        hosts[0], silence);
    write_record_file(*record, rank, size, text);
    end_mpi_job(text);
  }

  // Rank 0 has said why; mpirun ends this process soon, or it does so itself.
  [[noreturn]] void die() {
    write_record_file(*record, rank, size, "ended by rank 0, where ranks were missing");
    std::this_thread::sleep_for(std::chrono::seconds(survives_losses ? 0 : 5));
    ::kill(::getpid(), SIGKILL);
    std::abort();
  }
};

Watchdog::Watchdog(Deadlines deadlines, std::shared_ptr<RankRecord> record) : impl_(std::make_unique<Impl>()) {
  Impl& it = *impl_;
  check(MPI_Comm_dup(MPI_COMM_WORLD, &it.comm), "MPI_Comm_dup");
  check(MPI_Comm_set_errhandler(it.comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  MPI_Comm_rank(it.comm, &it.rank);
  MPI_Comm_size(it.comm, &it.size);
  it.deadlines = deadlines;
  it.period_s = std::min(1.0, std::min(deadlines.first_s, deadlines.later_s) / 10);
  it.record = std::move(record);
  it.hosts = all_hosts(it.comm, it.size);
  it.orders.resize(static_cast<size_t>(it.size));
  it.watch.emplace(it.hosts, deadlines, monotonic_seconds());
  it.heard_of_first = monotonic_seconds();
  if (it.size > 1) it.thread = std::thread([&it] { it.run(); });
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->ended = true;
  }
  impl_->wake.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();
}

void Watchdog::leaving() { impl_->leaving = true; }

void Watchdog::survive_losses() { impl_->survives_losses = survives_deaths(); }

std::set<int> Watchdog::lost() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->lost;
}

}  // namespace gaggle::mpi
