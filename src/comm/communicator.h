// What ranks say to each other: ten verbs over spans of bytes. No Torch here, so that it runs under
// ThreadSanitizer. Every verb is collective over the communicator. At the deadline the verb, its number and the
// ranks that never came are named: threads throw SystemError; under MPI (whose buffers are still in flight) a
// watchdog writes the message and ends the job (comm/mpi_watchdog.h).
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/deadlines.h"
#include "comm/record.h"

namespace gaggle {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string backend() const = 0;  // "self", "threads", "mpi"; "nccl": of device()

  virtual void barrier() = 0;
  virtual void broadcast(std::span<std::byte> data, int root) = 0;
  // all.size() == mine.size() * size(); in rank order. Sizes are equal on every rank.
  virtual void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) = 0;
  // send[r] goes to rank r, receive[r] comes from rank r; sizes may differ by pair and may be 0.
  virtual void all_to_all(std::span<const std::span<const std::byte>> send,
                          std::span<const std::span<std::byte>> receive) = 0;
  // Blobs of any size, in rank order, on every rank.
  virtual std::vector<std::string> all_gather_text(const std::string& mine) = 0;
  // A communicator over the ranks of the same colour, in rank order.
  virtual std::unique_ptr<Communicator> split(int colour) = 0;

  // The same ranks with verbs over spans of the GPU's memory (comm/nccl_backend.h); null: data travels through
  // the host's. The first call connects the ranks: all make it together.
  virtual Communicator* device() { return nullptr; }
  // For what `device()` does: in the record of this rank, under a name of its own.
  virtual CollectiveRecord record_beside(const std::string&) const { return CollectiveRecord(); }
  // "rank 1 has left: out of memory" where one of these ranks is gone for good; "": all are there.
  // Any thread may ask.
  virtual std::string who_left() { return ""; }
};

std::unique_ptr<Communicator> make_self();

// n ranks as threads of this process: runs body(communicator) on each; rethrows the first exception.
void run_as_threads(int n, double timeout_s, const std::function<void(Communicator&)>& body);

// The world of mpirun / srun. Initialises MPI at first call (MPI_THREAD_MULTIPLE demanded), and starts the
// watchdog. Throws UserError in a build without MPI.
std::unique_ptr<Communicator> make_mpi_world(Deadlines deadlines);
// From here on the ranks do not need each other, or can bear that verbs throw where one was lost: where MPI can
// survive deaths (mpirun --with-ft ulfm), who dies or stands still is given up and the others go on; elsewhere
// nothing changes. To be called on every rank.
void bear_losses();
// Ranks of the world that were given up so far, as far as this rank knows.
std::vector<int> lost_ranks();
bool built_with_mpi();
std::string mpi_library_version();  // "Open MPI 5.0.11 (ULFM)", or "no MPI"
// Every rank's goodbye, with what became of it: to be called once, as the last thing, also after an error
// (others that wait for this rank then throw SystemError). Rank 0 waits for all, leaves last, and returns the
// worst code of any rank; the others return Exit::done, because mpirun kills the rest of a job when one rank
// exits otherwise. Messages that their ranks have not said, and that are not its own, are written by rank 0.
// Does nothing where MPI never started. After it the process is to be left by _exit:
// a lost rank may be waited for otherwise.
Exit finish_mpi(Exit code = Exit::done, const std::string& message = "", bool said = true);
bool mpi_is_running();
// Writes the message and ends the whole job within seconds, as the verbs do at their deadline.
[[noreturn]] void end_mpi_job(const std::string& message);

// Longer messages travel in pieces; MPI counts in int.
void set_mpi_chunk_bytes_for_test(size_t bytes);

}  // namespace gaggle
