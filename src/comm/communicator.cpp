#include "comm/communicator.h"

namespace gaggle {

std::vector<std::string> Communicator::all_gather_text(const std::string& mine) {
  const std::vector<size_t> sizes = gather_values(*this, mine.size());
  std::vector<std::string> all(sizes.size());
  std::vector<std::span<std::byte>> receive;
  for (size_t r = 0; r < all.size(); ++r) {
    all[r].resize(sizes[r]);
    receive.push_back(std::as_writable_bytes(std::span(all[r])));
  }
  all_to_all(std::vector(all.size(), std::as_bytes(std::span(mine))), receive);
  return all;
}

}  // namespace gaggle
