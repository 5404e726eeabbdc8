// How fast a folder is: fsync, small files, big files written and read in order.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "cluster/odd_one.h"
#include "coordinator/folder_trials.h"

namespace gaggle {
namespace {

constexpr size_t piece = size_t{4} << 20;
constexpr double most_s = 1;  // of writing, and of reading, a big file

// Bytes written; the file is on the disk and, as far as the system lets us, out of this host's memory.
size_t write_big(const fs::path& path, size_t bytes, double& seconds) {
  const std::string block(piece, 'g');
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) system_error("{}: cannot be made", path.string());
  const double begin = monotonic_seconds();
  size_t done = 0;
  while (done < bytes && monotonic_seconds() - begin < most_s) {
    const ssize_t got = ::write(fd, block.data(), block.size());
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  ::fsync(fd);
  seconds = monotonic_seconds() - begin;
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  ::close(fd);
  return done;
}

size_t read_big(const fs::path& path, double& seconds) {
  std::string block(piece, '\0');
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) system_error("{}: cannot be read", path.string());
  const double begin = monotonic_seconds();
  size_t done = 0;
  while (monotonic_seconds() - begin < most_s) {
    const ssize_t got = ::read(fd, block.data(), block.size());
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  seconds = monotonic_seconds() - begin;
  ::close(fd);
  return done;
}

double rate(size_t bytes, double seconds) {
  return seconds > 0 ? static_cast<double>(bytes) / seconds : 0;
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
        trial.files.create_exclusive(trial.folder / fmt::format("small-{}-{}", trial.comm.rank(), made),
                                     content);
      took = monotonic_seconds() - begin;
    });
  facts.creates_per_s = trial.sum(took > 0 ? made / took : 0);
}

void try_speed(Trial& trial, int64_t megabytes, FolderFacts& facts) {
  const auto path_of = [&](int rank) { return trial.folder / fmt::format("big-{}", rank); };
  std::vector<int> writers;  // one rank of each host
  const auto firsts = trial.gather(trial.first_of_host);
  for (int rank = 0; rank < trial.comm.size(); ++rank)
    if (firsts[static_cast<size_t>(rank)] > 0) writers.push_back(rank);
  // Never more than a quarter of what is free, by all hosts together.
  const size_t bytes =
      std::min<uint64_t>(static_cast<uint64_t>(megabytes) * 1'000'000, facts.free_bytes / (4 * writers.size()));
  double seconds = 0;
  size_t written = 0, read = 0;
  trial.comm.barrier();
  if (trial.first_of_host)
    trial.attempt([&] { written = write_big(path_of(trial.comm.rank()), bytes, seconds); });
  const auto rates = trial.gather(rate(written, seconds));
  for (const int writer : writers) {
    facts.write_bytes_per_s += rates[static_cast<size_t>(writer)];
    facts.write_bytes_per_s_of.push_back(rates[static_cast<size_t>(writer)]);
  }
  // Another host's file: one's own may still be in memory.
  if (trial.first_of_host)
    trial.attempt([&] {
      const auto me = std::find(writers.begin(), writers.end(), trial.comm.rank()) - writers.begin();
      read = read_big(path_of(writers[static_cast<size_t>(me + 1) % writers.size()]), seconds);
    });
  facts.read_bytes_per_s = trial.sum(trial.first_of_host ? rate(read, seconds) : 0);
}

}  // namespace gaggle
