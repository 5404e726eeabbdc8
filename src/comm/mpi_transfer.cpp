#include "comm/mpi_transfer.h"

#include <algorithm>
#include <set>

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
  const int result =
      MPI_Recv(message.bytes.data(), bytes, MPI_BYTE, message.from, tag, comm, MPI_STATUS_IGNORE);
  return result == MPI_SUCCESS ? std::optional(std::move(message)) : std::nullopt;
}

// After an error the buffers belong to the caller again: receives are withdrawn; a send cannot be.
Transfer::~Transfer() {
  for (size_t i = 0; i < requests_.size(); ++i)
    if (requests_[i] != MPI_REQUEST_NULL) {
      if (parts_[i].receive) MPI_Cancel(&requests_[i]);
      MPI_Request_free(&requests_[i]);
    }
}

void Transfer::send(std::span<const std::byte> data, int to) {
  for (size_t at = 0; at < data.size(); at += chunk_bytes) {
    const auto part = data.subspan(at, std::min(chunk_bytes, data.size() - at));
    const int bytes = static_cast<int>(part.size());
    requests_.push_back(MPI_REQUEST_NULL);
    parts_.push_back({to, false, bytes});
    check(MPI_Isend(part.data(), bytes, MPI_BYTE, to, tag_, comm_, &requests_.back()), "MPI_Isend");
  }
}

void Transfer::receive(std::span<std::byte> data, int from) {
  for (size_t at = 0; at < data.size(); at += chunk_bytes) {
    const auto part = data.subspan(at, std::min(chunk_bytes, data.size() - at));
    const int bytes = static_cast<int>(part.size());
    requests_.push_back(MPI_REQUEST_NULL);
    parts_.push_back({from, true, bytes});
    check(MPI_Irecv(part.data(), bytes, MPI_BYTE, from, tag_, comm_, &requests_.back()), "MPI_Irecv");
  }
}

bool Transfer::test() {
  bool all = true;
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i] == MPI_REQUEST_NULL) continue;
    int done = 0;
    MPI_Status status;
    check(MPI_Test(&requests_[i], &done, &status), "MPI_Test");
    all = all && done;
    if (!done || !parts_[i].receive) continue;
    int bytes = 0;
    check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
    GAGGLE_CHECK(bytes == parts_[i].bytes, "rank {} sent {} bytes where {} were expected", parts_[i].peer,
                 bytes, parts_[i].bytes);
  }
  return all;
}

std::vector<int> Transfer::missing() const {
  std::set<int> silent, deaf;
  for (size_t i = 0; i < requests_.size(); ++i)
    if (requests_[i] != MPI_REQUEST_NULL) (parts_[i].receive ? silent : deaf).insert(parts_[i].peer);
  const auto& ranks = silent.empty() ? deaf : silent;
  return {ranks.begin(), ranks.end()};
}

}  // namespace gaggle::mpi

void gaggle::set_mpi_chunk_bytes_for_test(size_t bytes) {
  mpi::chunk_bytes = bytes;
}
