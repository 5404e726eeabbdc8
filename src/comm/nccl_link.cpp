#include "comm/nccl_link.h"

#include <chrono>
#include <future>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "comm/patience.h"

namespace gaggle {
namespace {

constexpr double seconds_for_last_words = 2;  // what a rank sent before it left is still on its way
constexpr double seconds_to_leave = 10;
constexpr double asleep_s = 10;  // between two looks
constexpr auto pause_between_looks = std::chrono::milliseconds(2);

// A rank that has left will never come, but what it sent last may.
class Departure {
 public:
  explicit Departure(Communicator& host) : host_(host) {}
  // Who has left long enough ago; "": nobody.
  std::string overdue() {
    const double now = monotonic_seconds();
    if (now < next_look_) return "";
    next_look_ = now + 0.05;
    const std::string who = host_.who_left();
    if (!who.empty() && since_ < 0) since_ = now;
    return !who.empty() && now - since_ > seconds_for_last_words ? who : "";
  }

 private:
  Communicator& host_;
  double next_look_ = 0, since_ = -1;
};

// The abort may hang where the GPU itself does: nobody waits for it longer than 3 s.
void abort(const NcclTables& tables, NcclComm* comm) {
  auto over = std::make_shared<std::promise<void>>();
  const auto wait = over->get_future();
  std::thread([use = tables.gpu.use, abort = tables.nccl.abort, comm, over] {
    try {
      use();
      abort(comm);
    } catch (const std::exception& error) {
      log::warning("after NCCL's abort: {}", error.what());
    }
    over->set_value();
  }).detach();
  wait.wait_for(std::chrono::seconds(3));
}

}  // namespace

NcclLink::NcclLink(std::shared_ptr<Communicator> host, std::shared_ptr<const NcclTables> tables, NcclOptions options)
    : host_(std::move(host)),
      tables_(std::move(tables)),
      options_(std::move(options)),
      record_(host_->record_beside("NCCL")) {
  try {
    connect();
  } catch (...) {
    leave();
    throw;
  }
  watcher_ = std::thread([this] { watch(); });
}

NcclLink::~NcclLink() { leave(); }

// Rank 0 makes the id; the host's communicator, which works already, takes it round.
void NcclLink::connect() {
  struct {
    int result = nccl_success;
    NcclId id;
  } hello;
  const NcclCalls& nccl = tables_->nccl;
  tables_->gpu.use();
  if (host_->rank() == 0) hello.result = nccl.unique_id(hello.id);
  host_->broadcast(std::as_writable_bytes(std::span(&hello, 1)), 0);
  if (hello.result != nccl_success)
    system_error("NCCL could not start on rank 0: {}. NCCL_DEBUG=INFO shows more",
                 nccl.error_text(hello.result, nullptr));
  std::vector<int> everybody;
  for (int r = 0; r < host_->size(); ++r)
    if (r != host_->rank()) everybody.push_back(r);
  stream_ = tables_->gpu.make_stream();
  current_ = new_verb("connect", 0, everybody);
  int result = nccl_success;
  {
    const std::lock_guard lock(mutex_);
    result = nccl.init(comm_, host_->size(), hello.id, host_->rank());
  }
  await("connecting the ranks", result);
  record_.end(current_.number);
}

NcclLink::Verb NcclLink::new_verb(const char* verb, size_t bytes, std::vector<int> peers) {
  const std::lock_guard lock(mutex_);
  const auto take_event = [&] {
    if (free_events_.empty()) {
      all_events_.push_back(tables_->gpu.make_event());
      return all_events_.back();
    }
    GpuEvent* const event = free_events_.back();
    free_events_.pop_back();
    return event;
  };
  const uint64_t number = record_.begin(verb, bytes);
  return {number, record_.last_text(), std::move(peers), take_event(), take_event()};
}

void NcclLink::begin(const char* verb, size_t bytes, std::vector<int> peers) {
  if (!healthy()) system_error("{}", failure_);
  current_ = new_verb(verb, bytes, std::move(peers));
  const GpuCalls& gpu = tables_->gpu;
  gpu.record(current_.ready, options_.compute_stream());
  gpu.wait(stream_, current_.ready);
}

void NcclLink::group(const std::function<int(const NcclCalls& nccl, NcclComm* comm, GpuStream* stream)>& post) {
  const NcclCalls& nccl = tables_->nccl;
  int result = nccl_success;
  {
    const std::lock_guard lock(mutex_);
    if (!failure_.empty()) system_error("{}", failure_);
    result = nccl.group_start();
    if (result == nccl_success) {
      const int posted = post(nccl, comm_, stream_);
      result = nccl.group_end();
      if (posted != nccl_success && posted != nccl_in_progress) result = posted;
    }
  }
  await("starting on the GPU", result);
}

void NcclLink::copy(void* to, const void* from, size_t bytes) { tables_->gpu.copy(to, from, bytes, stream_); }

void NcclLink::end() {
  const GpuCalls& gpu = tables_->gpu;
  gpu.record(current_.done, stream_);
  GpuEvent* const done = current_.done;
  {
    const std::lock_guard lock(mutex_);
    pending_.push_back(std::move(current_));
  }
  changed_.notify_all();
  gpu.wait(options_.compute_stream(), done);
  if (!healthy()) system_error("{}", failure_);
}

// `failure_` is written once: whoever has seen it may read it without the lock.
bool NcclLink::healthy() {
  const std::lock_guard lock(mutex_);
  return failure_.empty();
}

int NcclLink::state() const {
  int state = nccl_success;
  const int result = tables_->nccl.async_error(comm_, state);
  return result == nccl_success ? state : result;
}

void NcclLink::await(const char* what, int result) {
  Patience patience;
  Departure departure(*host_);
  const double start = monotonic_seconds();
  while (result == nccl_in_progress) {
    patience.wait();
    const std::string gone = departure.overdue();
    std::string problem;
    {
      const std::lock_guard lock(mutex_);
      if (!failure_.empty()) system_error("{}", failure_);
      result = state();
      if (result != nccl_in_progress) break;
      if (gone.empty() && monotonic_seconds() - start > timeout_s()) problem = late_text(current_, what);
    }
    if (!gone.empty()) problem = fmt::format("{} was given up: {}", current_.text, gone);
    if (problem.empty()) continue;
    fail(problem, gone.empty());
    system_error("{}", problem);
  }
  if (result == nccl_success) return;
  const std::string problem = error_text(current_, what, result);
  fail(problem, true);
  system_error("{}", problem);
}

void NcclLink::watch() {
  Departure departure(*host_);
  try {
    tables_->gpu.use();
    while (true) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return leaving_ || !failure_.empty() || !pending_.empty(); });
        if (leaving_ || !failure_.empty()) return;
      }
      const std::string gone = departure.overdue();
      const std::string problem = look(gone);
      if (!problem.empty()) return fail(problem, gone.empty());
      std::this_thread::sleep_for(pause_between_looks);
    }
  } catch (const std::exception& error) {
    fail(fmt::format("NCCL's GPU: {}", error.what()), true);
  }
}

std::string NcclLink::look(const std::string& gone) {
  constexpr const char* what = "data on its way";
  const std::lock_guard lock(mutex_);
  while (!pending_.empty() && tables_->gpu.done(pending_.front().done)) {
    const Verb& over = pending_.front();
    record_.end(over.number);
    free_events_.insert(free_events_.end(), {over.ready, over.done});
    pending_.pop_front();
    first_over_ = true;
  }
  if (pending_.empty() || !failure_.empty()) return "";
  const int result = state();
  Verb& oldest = pending_.front();
  if (result != nccl_success && result != nccl_in_progress) return error_text(oldest, what, result);
  if (!gone.empty()) return fmt::format("{} was given up: {}", oldest.text, gone);
  const double now = monotonic_seconds();
  // A process that was suspended begins anew.
  if (now - looked_at_ > asleep_s) oldest.since = -1;
  looked_at_ = now;
  if (oldest.since < 0 && tables_->gpu.done(oldest.ready)) oldest.since = now;
  return oldest.since >= 0 && now - oldest.since > timeout_s() ? late_text(oldest, what) : "";
}

std::string NcclLink::error_text(const Verb& verb, const char* what, int result) const {
  return fmt::format("{}, {}, among ranks {} and {}: {}. NCCL_DEBUG=INFO shows more", verb.text, what, host_->rank(),
                     fmt::join(verb.peers, ", "), tables_->nccl.error_text(result, comm_));
}

std::string NcclLink::late_text(const Verb& verb, const char* what) const {
  return fmt::format("{}, {}: {} did not come within {:g} s. Last collectives of rank {}:\n{}", verb.text, what,
                     ranks_text(verb.peers), timeout_s(), host_->rank(), record_.text());
}

void NcclLink::fail(const std::string& message, bool ends_job) {
  NcclComm* comm = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (!failure_.empty()) return;
    failure_ = message;
    comm = comm_;
  }
  changed_.notify_all();
  if (comm) abort(*tables_, comm);
  if (ends_job && options_.on_failure) options_.on_failure(message);
}

void NcclLink::leave() {
  Patience patience;
  const double deadline = monotonic_seconds() + seconds_to_leave;
  const auto wait_while = [&](const auto& busy) {
    while (monotonic_seconds() < deadline) {
      {
        const std::lock_guard lock(mutex_);
        if (!failure_.empty() || !busy()) return;
      }
      patience.wait();
    }
  };
  wait_while([&] { return watcher_.joinable() && !pending_.empty(); });
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  changed_.notify_all();
  if (watcher_.joinable()) watcher_.join();
  if (!failure_.empty()) comm_ = nullptr;  // aborted
  try {
    if (comm_ && pending_.empty()) {
      tables_->nccl.finalize(comm_);
      wait_while([&] { return state() == nccl_in_progress; });
      if (state() == nccl_success) {
        tables_->nccl.destroy(comm_);
        comm_ = nullptr;
      }
    }
    if (comm_) abort(*tables_, comm_);
    for (GpuEvent* event : all_events_) tables_->gpu.free_event(event);
    if (stream_) tables_->gpu.free_stream(stream_);
  } catch (const SystemError& error) {
    log::warning("leaving NCCL: {}", error.what());
  }
}

}  // namespace gaggle
