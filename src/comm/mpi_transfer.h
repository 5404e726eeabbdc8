// Non-blocking sends and receives, and waiting for them without blocking inside MPI: a blocked call spins and
// takes a core from whoever computes.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace gaggle::mpi {

// Throws SystemError with MPI's own words.
void check(int code, const char* call);

struct TakenMessage {
  int from = 0;
  std::string bytes;
};
// One message that has arrived; nullopt: none has, or its sender is gone. Never waits.
std::optional<TakenMessage> take_message(int source, int tag, MPI_Comm comm);

// The messages of one collective: all are started, then waited for together.
class Transfer {
 public:
  Transfer(MPI_Comm comm, int tag) : comm_(comm), tag_(tag) {}
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // An empty span sends nothing: both sides know the sizes.
  void send(std::span<const std::byte> data, int to);
  void receive(std::span<std::byte> data, int from);
  // True once all are through.
  bool test();
  // Ranks whose messages to us are still missing, else ranks that have not taken ours.
  std::vector<int> missing() const;

 private:
  struct Part {
    int peer;
    bool receive;
    int bytes;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  template <class Byte, class Call>
  void begin(std::span<Byte> data, int peer, Call call, const char* name);
  MPI_Comm comm_;
  int tag_;
  std::vector<Part> parts_;
};

}  // namespace gaggle::mpi
