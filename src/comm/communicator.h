// What ranks say to each other: ten verbs over spans of bytes. No Torch here, so that it runs under ThreadSanitizer.
// Every verb is collective over the communicator unless it says otherwise, and throws SystemError at the deadline,
// naming the verb, its number and, where known, the ranks that never came.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace gaggle {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string backend() const = 0;  // "self", "threads", "mpi"

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
};

std::unique_ptr<Communicator> make_self();

// n ranks as threads of this process: runs body(communicator) on each; rethrows the first exception.
void run_as_threads(int n, double timeout_s, const std::function<void(Communicator&)>& body);

// The world of mpirun / srun. Initialises MPI at first call (MPI_THREAD_MULTIPLE demanded). Throws UserError in a
// build without MPI.
std::unique_ptr<Communicator> make_mpi_world(double timeout_s);
bool built_with_mpi();
std::string mpi_library_version();  // "Open MPI 5.0.11 (ULFM)", or "no MPI"
// All ranks but 0 return at once after their goodbye; rank 0 waits for all and leaves last (MPI_Finalize inside).
void finish_mpi();

}  // namespace gaggle
