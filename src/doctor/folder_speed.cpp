// How fast a folder is: fsync, small files, big files written and read in order.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "doctor/folder_trials.h"
#include "doctor/odd_one.h"

namespace gaggle {
namespace {

constexpr size_t piece = size_t{4} << 20;
constexpr double most_s = 1;  // of writing, and of reading, a big file

// A big file, opened by `flags`: calls `transfer` with one piece after the other until `bytes` are through,
// nothing more comes, or the time is over. Bytes per second. What was written is on the disk afterwards, within
// that time, and as far as the system lets us out of this host's memory.
double rate_of(const fs::path& path, int flags, const char* done_to_it, size_t bytes,
               const std::function<ssize_t(int fd, std::string& piece)>& transfer) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (fd < 0) system_error("{}: cannot be {}", path.string(), done_to_it);
  std::string block(piece, 'g');
  const double begin = monotonic_seconds();
  size_t done = 0;
  while (done < bytes && monotonic_seconds() - begin < most_s) {
    const ssize_t got = transfer(fd, block);
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  const bool writes = flags & O_WRONLY;
  if (writes) ::fsync(fd);
  const double seconds = monotonic_seconds() - begin;
  if (writes) ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  ::close(fd);
  return seconds > 0 ? static_cast<double>(done) / seconds : 0;
}

double write_big(const fs::path& path, size_t bytes) {
  return rate_of(path, O_WRONLY | O_CREAT | O_EXCL, "made", bytes,
                 [](int fd, std::string& block) { return ::write(fd, block.data(), block.size()); });
}

double read_big(const fs::path& path) {
  return rate_of(path, O_RDONLY, "read", SIZE_MAX,
                 [](int fd, std::string& block) { return ::read(fd, block.data(), block.size()); });
}

}  // namespace

void try_fsync(Trial& trial, FolderFacts& facts) {
  std::vector<double> times;
  if (trial.leads())
    trial.attempt([&] {
      for (int i = 0; i < 10; ++i) {
        const double begin = monotonic_seconds();
        write_file_durable(trial.folder / "durable", "a small file, written and forced to the disk\n");
        times.push_back(monotonic_seconds() - begin);
      }
    });
  facts.fsync_s = trial.largest(median(times));
  facts.fsync_worst_s = trial.largest(times.empty() ? 0 : *std::max_element(times.begin(), times.end()));
}

void try_small_files(Trial& trial, double seconds, FolderFacts& facts) {
  int made = 0;
  double took = 0;
  trial.comm.barrier();
  if (trial.first_of_host)
    trial.attempt([&] {
      const double begin = monotonic_seconds();
      const std::string content(150, '.');
      for (; made < 2000 && monotonic_seconds() - begin < seconds; ++made)
        trial.files.create_exclusive(trial.folder / fmt::format("small-{}-{}", trial.comm.rank(), made), content);
      took = monotonic_seconds() - begin;
    });
  facts.creates_per_s = trial.sum(took > 0 ? made / took : 0);
}

void try_speed(Trial& trial, int64_t megabytes, FolderFacts& facts) {
  const auto path_of = [&](int rank) { return trial.folder / fmt::format("big-{}", rank); };
  const int me = trial.comm.rank();
  std::vector<int> writers;  // one rank of each host
  const auto firsts = gather_values(trial.comm, static_cast<char>(trial.first_of_host));
  for (int rank = 0; rank < trial.comm.size(); ++rank)
    if (firsts[static_cast<size_t>(rank)]) writers.push_back(rank);
  // Never more than a quarter of what is free, by all hosts together.
  const size_t bytes =
      std::min<uint64_t>(static_cast<uint64_t>(megabytes) * 1'000'000, facts.free_bytes / (4 * writers.size()));
  double written = 0, read = 0;  // bytes per second
  trial.comm.barrier();
  if (trial.first_of_host) trial.attempt([&] { written = write_big(path_of(me), bytes); });
  const auto rates = gather_values(trial.comm, written);
  for (const int writer : writers) {
    facts.write_bytes_per_s += rates[static_cast<size_t>(writer)];
    facts.write_bytes_per_s_of.push_back(rates[static_cast<size_t>(writer)]);
  }
  // Another host's file: one's own may still be in memory.
  if (trial.first_of_host)
    trial.attempt([&] {
      const auto place = std::ranges::find(writers, me) - writers.begin();
      read = read_big(path_of(writers[static_cast<size_t>(place + 1) % writers.size()]));
    });
  facts.read_bytes_per_s = trial.sum(read);
}

}  // namespace gaggle
