#include "comm/pairwise.h"

namespace gaggle {

void PairwiseCommunicator::barrier() {
  const auto n = static_cast<size_t>(size());
  const std::byte token{1};
  std::vector<std::byte> tokens(n);
  std::vector<std::span<std::byte>> receive;
  for (std::byte& one : tokens) receive.emplace_back(&one, 1);
  exchange("barrier", 0, std::vector(n, std::span(&token, 1)), receive);
}

void PairwiseCommunicator::broadcast(std::span<std::byte> data, int root) {
  GAGGLE_CHECK(root >= 0 && root < size());
  std::vector<std::span<const std::byte>> send(static_cast<size_t>(size()));
  std::vector<std::span<std::byte>> receive(send.size());
  if (rank() != root) receive[static_cast<size_t>(root)] = data;
  for (int r = 0; rank() == root && r < size(); ++r)
    if (r != root) send[static_cast<size_t>(r)] = data;
  exchange("broadcast", data.size(), send, receive);
}

void PairwiseCommunicator::all_gather(std::span<const std::byte> mine, std::span<std::byte> all) {
  const auto n = static_cast<size_t>(size());
  GAGGLE_CHECK(all.size() == mine.size() * n);
  std::vector<std::span<std::byte>> receive;
  for (size_t r = 0; r < n; ++r) receive.push_back(all.subspan(r * mine.size(), mine.size()));
  exchange("all_gather", all.size(), std::vector(n, mine), receive);
}

void PairwiseCommunicator::all_to_all(std::span<const std::span<const std::byte>> send,
                                      std::span<const std::span<std::byte>> receive) {
  const auto n = static_cast<size_t>(size()), me = static_cast<size_t>(rank());
  GAGGLE_CHECK(send.size() == n && receive.size() == n && send[me].size() == receive[me].size());
  size_t bytes = 0;
  for (size_t r = 0; r < n; ++r) bytes += send[r].size() + receive[r].size();
  exchange("all_to_all", bytes, send, receive);
}

std::vector<std::string> PairwiseCommunicator::all_gather_text(const std::string& mine) {
  const std::vector<size_t> sizes = gather_values(*this, mine.size());
  std::vector<std::string> all(sizes.size());
  std::vector<std::span<std::byte>> receive;
  for (size_t r = 0; r < all.size(); ++r) {
    all[r].resize(sizes[r]);
    receive.push_back(std::as_writable_bytes(std::span(all[r])));
  }
  exchange("all_gather_text", mine.size(), std::vector(all.size(), std::as_bytes(std::span(mine))), receive);
  return all;
}

}  // namespace gaggle
