#include "coordinator/lease.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <mutex>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

namespace gaggle {
namespace fs = std::filesystem;

int generation_of(std::string_view digits) {
  int number = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, number);
  return error == std::errc() && stopped == end && number > 0 ? number : 0;
}

std::map<std::string, int> newest_generations(const std::vector<std::string>& names) {
  std::map<std::string, int> newest;
  for (const std::string& name : names) {
    const size_t dot = name.rfind('.');
    const int generation = dot == std::string::npos ? 0 : generation_of(name.substr(dot + 1));
    if (generation == 0) continue;
    int& highest = newest[name.substr(0, dot)];
    highest = std::max(highest, generation);
  }
  return newest;
}

std::string lease_name(const std::string& key, int generation) { return fmt::format("{}.{}", key, generation); }

Lease::Lease(std::shared_ptr<LeaseFiles> files, fs::path folder, std::string key, int generation,
             std::optional<LeaseRecord> lost, double beat_s)
    : files_(std::move(files)),
      folder_(std::move(folder)),
      key_(std::move(key)),
      generation_(generation),
      lost_(std::move(lost)),
      beat_([this, beat_s](std::stop_token stop) { beat(stop, beat_s); }) {}

Lease::~Lease() { release(); }

void Lease::beat(std::stop_token stop, double seconds) {
  std::mutex mutex;  // nobody else's: the token wakes
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  const auto ended = [&] { return stop.stop_requested(); };
  bool warned = false;
  for (uint64_t counter = 1; !wake.wait_for(lock, stop, std::chrono::duration<double>(seconds), ended); ++counter) {
    try {
      files_->write_at_start(folder_ / lease_name(key_, generation_), first_line(counter, false));
    } catch (const std::exception& error) {
      if (!warned) log::warning("lease not renewed, others may take the item over: {}", error_text(error));
      warned = true;
    }
  }
}

void Lease::release() {
  if (!beat_.joinable()) return;
  beat_.request_stop();
  beat_.join();
  try {
    files_->write_at_start(folder_ / lease_name(key_, generation_), first_line(0, true));
  } catch (const std::exception& error) {
    log::warning("lease not released, others wait for it to expire: {}", error_text(error));
  }
}

bool Lease::still_mine() {
  const auto newest = newest_generations(files_->list(folder_));
  const auto mine = newest.find(key_);
  if (mine != newest.end() && mine->second > generation_) return false;
  return !files_->read(folder_ / lease_name(key_, generation_ + 1));
}

LeaseTable::LeaseTable(const fs::path& registry, std::string worker, double lease_s, std::shared_ptr<LeaseFiles> files)
    : folder_(registry / "work" / "leases"),
      self_(own_record()),
      lease_s_(lease_s),
      files_(files ? std::move(files) : std::make_shared<LeaseFiles>()) {
  self_.worker = std::move(worker);
  std::error_code failed;
  fs::create_directories(folder_, failed);
  if (failed) system_error("{}: cannot be made ({})", folder_.string(), failed.message());
}

const LeaseTable::Observation& LeaseTable::read(const std::string& key, int generation) {
  Observation& last = seen_[key];
  if (generation == 0) return last;
  std::string content = files_->read(folder_ / lease_name(key, generation)).value_or("");
  if (last.generation == generation && last.content == content) return last;
  const bool moved = last.generation == generation;
  auto record = parse_lease(content);
  last = {generation, std::move(content), std::move(record), monotonic_seconds(), moved};
  return last;
}

const LeaseTable::Observation& LeaseTable::look(const std::string& key) {
  const auto listed = listed_.find(key);
  int generation = std::max(listed == listed_.end() ? 0 : listed->second, seen_[key].generation);
  for (;;) {
    const Observation& found = read(key, generation);
    if (!dead(found) || !files_->read(folder_ / lease_name(key, generation + 1))) return found;
    ++generation;
  }
}

// What the last look at a key found.
LeaseTable::Observation LeaseTable::last(const std::string& key) const {
  const auto known = seen_.find(key);
  return known == seen_.end() ? Observation() : known->second;
}

LeaseSight LeaseTable::sight(const Observation& seen) const {
  LeaseSight sight;
  sight.ever_held = seen.generation > 0;
  sight.moved = seen.moved;
  sight.still_s = monotonic_seconds() - seen.since;
  if (!seen.record) return sight;
  sight.released = seen.record->released;
  sight.gone = certainly_dead(*seen.record, self_);
  sight.running = life_of(seen.record->process) == Life::alive;
  return sight;
}

std::unique_ptr<Lease> LeaseTable::try_take(const std::string& key) {
  static std::atomic<uint64_t> attempts = 0;
  const Observation found = look(key);
  if (!dead(found)) return nullptr;
  LeaseRecord record = self_;
  record.nonce = fmt::format("{}-{}-{}", record.process.pid, record.process.start_ticks, attempts++);
  const int generation = found.generation + 1;
  bool made = false;
  std::exception_ptr failure;
  try {
    made = files_->create_exclusive(folder_ / lease_name(key, generation), lease_bytes(record));
  } catch (const SystemError&) {
    failure = std::current_exception();
  }
  if (!made) {
    // The reply may be lost where the deed was done: the file says whose it is.
    const auto& on_disk = read(key, generation).record;
    if (!on_disk || on_disk->nonce != record.nonce || on_disk->process.kernel != record.process.kernel) {
      if (failure) std::rethrow_exception(failure);
      return nullptr;
    }
  }
  seen_.erase(key);
  const bool was_lost = found.record && !found.record->released;
  return std::make_unique<Lease>(files_, folder_, key, generation, was_lost ? found.record : std::nullopt,
                                 beat_seconds(lease_s_));
}

std::optional<std::string> LeaseTable::holder(const std::string& key) {
  look(key);
  return holder_seen(key);
}

std::optional<std::string> LeaseTable::holder_seen(const std::string& key) const {
  const Observation seen = last(key);
  if (dead(seen)) return std::nullopt;
  return seen.record ? holder_text(*seen.record) : "a worker that is just starting";
}

std::string LeaseTable::waiting_text(const std::string& key) const {
  const Observation seen = last(key);
  const double still_s = monotonic_seconds() - seen.since;
  if (!seen.record)
    return fmt::format("its lease {} was made and says nothing yet, for {:.0f} s now; taken over after {:g} s",
                       (folder_ / lease_name(key, seen.generation)).string(), still_s, lease_s_);
  const std::string holder = "held by " + holder_text(*seen.record);
  if (seen_alive(key)) return of_own_job(key) ? "" : holder + ", which is at work";
  return fmt::format("{}, not heard of for {:.0f} s; taken over after {:g} s", holder, still_s, lease_s_);
}

bool LeaseTable::of_own_job(const std::string& key) const {
  const Observation seen = last(key);
  return !self_.job.empty() && seen.record && seen.record->job == self_.job;
}

bool LeaseTable::seen_alive(const std::string& key) const { return lease_alive(sight(last(key)), lease_s_); }

}  // namespace gaggle
