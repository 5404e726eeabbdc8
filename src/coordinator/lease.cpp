#include "coordinator/lease.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "coordinator/lease_file.h"
#include "coordinator/plan.h"

namespace gaggle {
namespace fs = std::filesystem;
namespace {

struct Found {
  int generation = 0;  // 0: no lease yet
  std::string content;
  std::optional<LeaseRecord> record;
};

std::string file_name(const std::string& key, int generation) {
  return fmt::format("{}.{}", key, generation);
}

// The generation in "KEY.GEN"; 0: another key's file.
int generation_in(const std::string& name, const std::string& key) {
  if (name.size() <= key.size() + 1 || name.compare(0, key.size(), key) != 0 || name[key.size()] != '.')
    return 0;
  const std::string digits = name.substr(key.size() + 1);
  if (digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string::npos) return 0;
  return std::stoi(digits);
}

}  // namespace

std::string LeaseHolder::text() const {
  return fmt::format("{} on {}{}", worker, host, job.empty() ? "" : " (job " + job + ")");
}

struct LeaseTable::Impl {
  // What was last read of a key's highest generation, and since when it has said the same.
  struct Observation {
    int generation = 0;
    std::string content;
    double since = 0;
    bool moved = false;  // it said something else before
  };

  fs::path folder;
  std::string worker;
  double lease_s;
  std::shared_ptr<LeaseFiles> files;
  LeaseRecord self = own_record();
  std::map<std::string, Observation> seen;

  std::map<std::string, int> listed;  // key → highest generation in the last listing

  void list() {
    listed.clear();
    for (const std::string& name : files->list(folder)) {
      const std::string key = name.substr(0, name.rfind('.'));
      int& highest = listed[key];
      highest = std::max(highest, generation_in(name, key));
    }
  }

  Found read(const std::string& key, int generation) {
    Found found;
    found.generation = generation;
    if (generation == 0) return found;
    found.content = files->read(folder / file_name(key, generation)).value_or("");
    found.record = parse_lease(found.content);
    Observation& before = seen[key];
    if (before.generation != generation || before.content != found.content) {
      const bool moved = before.generation == generation;
      before = {generation, found.content, monotonic_seconds(), moved};
    }
    return found;
  }

  Found look(const std::string& key) {
    const auto place = listed.find(key);
    int generation = place == listed.end() ? 0 : place->second;
    if (const auto before = seen.find(key); before != seen.end())
      generation = std::max(generation, before->second.generation);
    for (;;) {
      const Found found = read(key, generation);
      if (!dead(key, found) || !files->read(folder / file_name(key, generation + 1))) return found;
      ++generation;
    }
  }

  // What the last look at a key found.
  Found last(const std::string& key) const {
    const auto before = seen.find(key);
    if (before == seen.end()) return {};
    return {before->second.generation, before->second.content, parse_lease(before->second.content)};
  }

  LeaseSight sight(const std::string& key, const Found& found) const {
    LeaseSight sight;
    sight.ever_held = found.generation > 0;
    if (found.record) {
      sight.released = found.record->released;
      sight.gone = certainly_dead(*found.record, self);
      sight.running = life_of(found.record->process) == Life::alive;
    }
    if (const auto before = seen.find(key); sight.ever_held && before != seen.end()) {
      sight.moved = before->second.moved;
      sight.still_s = monotonic_seconds() - before->second.since;
    }
    return sight;
  }

  bool dead(const std::string& key, const Found& found) const { return lease_free(sight(key, found), lease_s); }
};

struct Lease::Impl {
  fs::path path;
  std::string key;
  int generation = 0;
  std::optional<LeaseHolder> lost;
  std::shared_ptr<LeaseFiles> files;
  double beat_s = 10;
  std::mutex mutex;
  std::condition_variable wake;
  bool ended = false;
  std::thread beat;

  void run() {
    bool warned = false;
    std::unique_lock lock(mutex);
    for (uint64_t counter = 1;
         !wake.wait_for(lock, std::chrono::duration<double>(beat_s), [&] { return ended; }); ++counter) {
      lock.unlock();
      try {
        files->write_at_start(path, first_line(counter, false));
      } catch (const std::exception& error) {
        if (!warned) log::warning("lease not renewed, others may take the item over: {}", error.what());
        warned = true;
      }
      lock.lock();
    }
  }

  void end() {
    {
      const std::lock_guard lock(mutex);
      if (ended) return;
      ended = true;
    }
    wake.notify_all();
    beat.join();
    try {
      files->write_at_start(path, first_line(0, true));
    } catch (const std::exception& error) {
      log::warning("lease not released, others wait for it to expire: {}", error.what());
    }
  }
};

LeaseTable::LeaseTable(fs::path registry, std::string worker, double lease_s, std::shared_ptr<LeaseFiles> files)
    : impl_(std::make_unique<Impl>()) {
  impl_->folder = std::move(registry) / "work" / "leases";
  impl_->worker = std::move(worker);
  impl_->lease_s = lease_s;
  impl_->files = files ? std::move(files) : std::make_shared<LeaseFiles>();
  std::error_code failed;
  fs::create_directories(impl_->folder, failed);
  if (failed) system_error("{}: cannot be made ({})", impl_->folder.string(), failed.message());
}

LeaseTable::~LeaseTable() = default;

void LeaseTable::list() {
  impl_->list();
}

std::unique_ptr<Lease> LeaseTable::try_take(const std::string& key) {
  static std::atomic<uint64_t> attempts = 0;
  const Found found = impl_->look(key);
  if (!impl_->dead(key, found)) return nullptr;
  LeaseRecord record = impl_->self;
  record.worker = impl_->worker;
  record.nonce = fmt::format("{}-{}-{}", record.process.pid, record.process.start_ticks, attempts++);
  auto lease = std::make_unique<Lease::Impl>();
  lease->generation = found.generation + 1;
  lease->path = impl_->folder / file_name(key, lease->generation);
  bool made = false;
  std::exception_ptr failure;
  try {
    made = impl_->files->create_exclusive(lease->path, lease_bytes(record));
  } catch (const SystemError&) {
    failure = std::current_exception();
  }
  if (!made) {
    // The reply may be lost where the deed was done: the file says whose it is.
    const auto on_disk = impl_->read(key, lease->generation).record;
    if (!on_disk || on_disk->nonce != record.nonce || on_disk->process.kernel != record.process.kernel) {
      if (failure) std::rethrow_exception(failure);
      return nullptr;
    }
  }
  impl_->seen.erase(key);
  lease->key = key;
  lease->files = impl_->files;
  lease->beat_s = beat_seconds(impl_->lease_s);
  if (found.record && !found.record->released)
    lease->lost = LeaseHolder{found.record->worker, found.record->process.host, found.record->job, false};
  lease->beat = std::thread([state = lease.get()] { state->run(); });
  return std::unique_ptr<Lease>(new Lease(std::move(lease)));
}

std::optional<std::string> LeaseTable::holder(const std::string& key) {
  impl_->look(key);
  return holder_seen(key);
}

std::optional<std::string> LeaseTable::holder_seen(const std::string& key) const {
  const Found found = impl_->last(key);
  if (impl_->dead(key, found)) return std::nullopt;
  if (!found.record) return "a worker that is just starting";
  return LeaseHolder{found.record->worker, found.record->process.host, found.record->job, false}.text();
}

bool LeaseTable::seen_alive(const std::string& key) const {
  return lease_alive(impl_->sight(key, impl_->last(key)), impl_->lease_s);
}

Lease::Lease(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Lease::~Lease() {
  impl_->end();
}
int Lease::generation() const {
  return impl_->generation;
}
std::optional<LeaseHolder> Lease::lost_predecessor() const {
  return impl_->lost;
}
void Lease::release() {
  impl_->end();
}

bool Lease::still_mine() {
  const fs::path folder = impl_->path.parent_path();
  for (const std::string& name : impl_->files->list(folder))
    if (generation_in(name, impl_->key) > impl_->generation) return false;
  return !impl_->files->read(folder / file_name(impl_->key, impl_->generation + 1));
}

}  // namespace gaggle
