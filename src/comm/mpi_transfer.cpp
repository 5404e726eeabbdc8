#include "comm/mpi_transfer.h"

#include <algorithm>
#include <set>
#include <type_traits>

#include "base/error.h"
#include "comm/mpi_job.h"

namespace gaggle::mpi {
namespace {

size_t chunk_bytes = size_t{1} << 30;

}  // namespace

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  system_error("{}: {}", call, std::string(text, static_cast<size_t>(length)));
}

std::optional<TakenMessage> take_message(int source, int tag, MPI_Comm comm) {
  int arrived = 0, bytes = 0;
  MPI_Status status;
  if (MPI_Iprobe(source, tag, comm, &arrived, &status) != MPI_SUCCESS || !arrived) return std::nullopt;
  check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
  TakenMessage message{status.MPI_SOURCE, std::string(static_cast<size_t>(bytes), '\0')};
  const int result = MPI_Recv(message.bytes.data(), bytes, MPI_BYTE, message.from, tag, comm, MPI_STATUS_IGNORE);
  return result == MPI_SUCCESS ? std::optional(std::move(message)) : std::nullopt;
}

// After an error the buffers belong to the caller again: receives are withdrawn; a send cannot be.
Transfer::~Transfer() {
  for (Part& part : parts_) {
    if (part.request == MPI_REQUEST_NULL) continue;
    if (part.receive) MPI_Cancel(&part.request);
    MPI_Request_free(&part.request);
  }
}

template <class Byte, class Call>
void Transfer::begin(std::span<Byte> data, int peer, Call call, const char* name) {
  for (size_t at = 0; at < data.size(); at += chunk_bytes) {
    const int bytes = static_cast<int>(std::min(chunk_bytes, data.size() - at));
    Part& part = parts_.emplace_back(Part{peer, !std::is_const_v<Byte>, bytes});
    check(call(data.data() + at, bytes, MPI_BYTE, peer, tag_, comm_, &part.request), name);
  }
}

void Transfer::send(std::span<const std::byte> data, int to) { begin(data, to, MPI_Isend, "MPI_Isend"); }

void Transfer::receive(std::span<std::byte> data, int from) { begin(data, from, MPI_Irecv, "MPI_Irecv"); }

bool Transfer::test() {
  bool all = true;
  for (Part& part : parts_) {
    if (part.request == MPI_REQUEST_NULL) continue;
    int done = 0;
    MPI_Status status;
    check(MPI_Test(&part.request, &done, &status), "MPI_Test");
    all = all && done;
    if (!done || !part.receive) continue;
    int bytes = 0;
    check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
    GAGGLE_CHECK(bytes == part.bytes, "rank {} sent {} bytes where {} were expected", part.peer, bytes, part.bytes);
  }
  return all;
}

std::vector<int> Transfer::missing() const {
  std::set<int> silent, deaf;
  for (const Part& part : parts_)
    if (part.request != MPI_REQUEST_NULL) (part.receive ? silent : deaf).insert(part.peer);
  const auto& ranks = silent.empty() ? deaf : silent;
  return {ranks.begin(), ranks.end()};
}

}  // namespace gaggle::mpi

void gaggle::set_mpi_chunk_bytes_for_test(size_t bytes) { mpi::chunk_bytes = bytes; }
