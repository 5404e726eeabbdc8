// What must hold in a folder: whole files, one winner of every race, changes that others see.
#include "doctor/folder_trials.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>
#include <tuple>

#include "base/clock.h"
#include "base/file.h"
#include "coordinator/lease_file.h"
#include "registry/stage.h"

namespace gaggle {
namespace {

// A rank that runs ahead waits for none: all stop by the first rank's clock.
bool all_go_on(Trial& trial, double until) { return trial.of_first(monotonic_seconds() < until) > 0; }

// A file of one repeated number: a mixture of two is seen.
std::string one_number(int64_t number) {
  std::string text;
  for (int i = 0; i < 2048; ++i) text += fmt::format("{:015} ", number);
  return text;
}

bool is_whole(const std::string& text) {
  if (text.size() != 2048 * 16) return false;
  for (size_t at = 16; at < text.size(); at += 16)
    if (text.compare(at, 16, text, 0, 16) != 0) return false;
  return true;
}

// Whether the lock is refused to another open file while the first rank holds it.
bool excludes(Trial& trial, const fs::path& path, const std::function<int(int)>& lock) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  bool as_it_should = trial.leads() && fd >= 0 && lock(fd) == 0;
  trial.comm.barrier();
  if (!trial.leads()) as_it_should = fd >= 0 && lock(fd) != 0;
  const bool everywhere = trial.sum(as_it_should) == trial.comm.size();
  if (fd >= 0) ::close(fd);
  return everywhere;
}

}  // namespace

Trial::Trial(Communicator& group, const std::string& host, fs::path place, LeaseFiles& lease_files)
    : comm(group), folder(std::move(place)), files(lease_files), hosts(group.all_gather_text(host)) {
  const auto first = std::find(hosts.begin(), hosts.end(), host);
  first_of_host = first - hosts.begin() == comm.rank();
}

void Trial::attempt(const std::function<void()>& what) {
  try {
    what();
  } catch (const std::exception& error) {
    if (failed.empty()) failed = error_text(error);
  }
}

double Trial::of_first(double mine) { return gather_values(comm, mine)[0]; }

double Trial::sum(double mine) {
  const auto all = gather_values(comm, mine);
  return std::accumulate(all.begin(), all.end(), 0.0);
}

double Trial::largest(double mine) { return std::ranges::max(gather_values(comm, mine)); }

Delay seconds_until(const std::function<bool()>& seen, double patience_s) {
  const double begin = monotonic_seconds();
  for (auto pause = std::chrono::microseconds(100);; pause = std::min(2 * pause, std::chrono::microseconds(10000))) {
    if (seen()) return {monotonic_seconds() - begin, false};
    if (monotonic_seconds() - begin > patience_s) return {patience_s, true};
    std::this_thread::sleep_for(pause);
  }
}

void try_replacing(Trial& trial, double seconds, FolderFacts& facts) {
  const fs::path path = trial.folder / "replaced";
  if (trial.leads()) trial.attempt([&] { write_file_atomic(path, one_number(0)); });
  trial.comm.barrier();
  std::error_code ignored;
  // The others must know of it before its absence means something.
  seconds_until([&] { return fs::exists(path, ignored); }, 10);
  trial.comm.barrier();
  int64_t replaced = 0, reads = 0, torn = 0, missing = 0;
  const double until = monotonic_seconds() + seconds;
  while (monotonic_seconds() < until && trial.failed.empty()) {
    if (trial.leads()) {
      trial.attempt([&] { write_file_atomic(path, one_number(++replaced)); });
      continue;
    }
    ++reads;
    try {
      torn += !is_whole(read_file(path));
    } catch (const UserError&) {
      ++missing;
    }
  }
  const auto total = [&](int64_t mine) { return static_cast<int64_t>(trial.sum(static_cast<double>(mine))); };
  facts.replaced = total(replaced);
  facts.reads = total(reads);
  facts.torn = total(torn);
  facts.missing = total(missing);
}

void try_create_races(Trial& trial, double seconds, FolderFacts& facts) {
  const double until = monotonic_seconds() + seconds;
  while (facts.create_races < 1000 && all_go_on(trial, until)) {
    const fs::path path = trial.folder / fmt::format("race-{}", facts.create_races);
    bool won = false;
    trial.attempt([&] { won = trial.files.create_exclusive(path, lease_bytes(own_record())); });
    ++facts.create_races;
    facts.create_races_wrong += trial.sum(won) != 1;
    std::error_code ignored;
    if (won) fs::remove(path, ignored);
  }
}

void try_commit_races(Trial& trial, double seconds, FolderFacts& facts) {
  const auto staged = [&](int round) {
    const fs::path mine = trial.folder / fmt::format("stage-{}-{}", trial.comm.rank(), round);
    trial.attempt([&] {
      fs::create_directory(mine);
      write_file_durable(mine / "file", "as of a version, which never is empty\n");
    });
    return mine;
  };
  const double until = monotonic_seconds() + seconds;
  bool late_won = false;
  for (int round = 0; round < 100; ++round) {
    const fs::path mine = staged(round), version = trial.folder / fmt::format("v{:04}", round);
    if (!all_go_on(trial, until) && round > 0) break;
    bool won = false;
    trial.attempt([&] { won = rename_to_new(mine, version); });
    ++facts.commit_races;
    facts.commit_races_wrong += trial.sum(won) != 1;
    // Once more, when all know that the name is taken.
    if (won || round > 0) continue;
    trial.attempt([&] { late_won = rename_to_new(mine, version); });
  }
  facts.taken_name_refused = trial.sum(late_won) == 0;
}

void try_visibility(Trial& trial, double patience_s, FolderFacts& facts) {
  const auto note = [&](Delay& delay, const std::function<bool()>& seen) {
    const Delay mine = trial.leads() ? Delay{} : seconds_until(seen, patience_s);
    delay = {std::max(delay.seconds, trial.largest(mine.seconds)), delay.never || trial.largest(mine.never) > 0};
  };
  const fs::path folder = trial.folder / "seen", counter = folder / "lease";
  if (trial.leads())
    trial.attempt([&] {
      fs::create_directory(folder);
      trial.files.create_exclusive(counter, lease_bytes(own_record()));
    });
  trial.comm.barrier();
  seconds_until([&] { return trial.files.read(counter).has_value(); }, patience_s);
  std::error_code ignored;
  for (uint64_t round = 1; round <= 5; ++round) {
    const std::string name = fmt::format("new-{}", round);
    // Looked up before it is there: what a network file system may remember.
    std::ignore = fs::exists(folder / name, ignored);
    trial.files.list(folder);
    trial.comm.barrier();
    if (trial.leads())
      trial.attempt([&] {
        trial.files.create_exclusive(folder / name, "here\n");
        trial.files.write_at_start(counter, first_line(round, false));
      });
    trial.comm.barrier();
    note(facts.counter, [&] {
      const auto bytes = trial.files.read(counter);
      const auto record = bytes ? parse_lease(*bytes) : std::nullopt;
      return record && record->counter >= round;
    });
    note(facts.by_name, [&] { return fs::exists(folder / name, ignored); });
    note(facts.in_listing, [&] {
      const auto names = trial.files.list(folder);
      return std::ranges::find(names, name) != names.end();
    });
    if (facts.counter.never || facts.by_name.never || facts.in_listing.never) break;
  }
}

void try_links_and_locks(Trial& trial, FolderFacts& facts) {
  const fs::path path = trial.folder / "locked";
  bool linked = false;
  if (trial.leads())
    trial.attempt([&] {
      write_file_durable(path, "x");
      std::error_code failed;
      fs::create_hard_link(path, trial.folder / "link", failed);
      linked = !failed;
      struct stat info {};
      // The file server stamps the file; this host says what time it is.
      if (::stat(path.c_str(), &info) == 0)
        facts.server_clock_s = static_cast<double>(info.st_mtim.tv_sec) +
                               1e-9 * static_cast<double>(info.st_mtim.tv_nsec) - wall_seconds();
    });
  facts.hard_links = trial.of_first(linked) > 0;
  facts.flock = excludes(trial, path, [](int fd) { return ::flock(fd, LOCK_EX | LOCK_NB); });
  facts.fcntl_locks = excludes(trial, path, [](int fd) {
    struct flock whole {};
    whole.l_type = F_WRLCK;
    // A lock of the open file, not of the process: ranks may be threads.
    return ::fcntl(fd, F_OFD_SETLK, &whole);
  });
}

}  // namespace gaggle
