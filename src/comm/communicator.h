// What ranks say to each other: verbs over spans of bytes. No Torch here, so that it runs under
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
  // The same ranks once more, for verbs of one other thread beside the one that calls these. The first call splits it
  // off: all make it together.
  Communicator& beside() {
    if (!beside_) beside_ = split(0);
    return *beside_;
  }

  // The same ranks with verbs over spans of the GPU's memory (comm/nccl_backend.h); null: data travels through
  // the host's. The first call connects the ranks: all make it together.
  virtual Communicator* device() { return nullptr; }
  // Where device() notes its collectives: in this rank's record, under another name.
  virtual CollectiveRecord record_beside(const std::string&) const { return CollectiveRecord(); }
  // "rank 1 has left: out of memory" where one of these ranks is gone for good; "": all are there. Any thread
  // may ask.
  virtual std::string who_left() { return ""; }

 private:
  std::unique_ptr<Communicator> beside_;
};

// A world of one rank.
std::unique_ptr<Communicator> make_self();

// n ranks as threads of this process: runs body(communicator) on each; rethrows the first exception.
void run_as_threads(int n, double timeout_s, const std::function<void(Communicator&)>& body);

// One plain value of each rank, in rank order. Collective.
template <class T>
std::vector<T> gather_values(Communicator& comm, const T& mine) {
  std::vector<T> all(static_cast<size_t>(comm.size()));
  comm.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  return all;
}

// As many values of each rank, one rank's after the other. Collective.
template <class T>
std::vector<T> gather_values(Communicator& comm, const std::vector<T>& mine) {
  std::vector<T> all(mine.size() * static_cast<size_t>(comm.size()));
  comm.all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)));
  return all;
}

}  // namespace gaggle
