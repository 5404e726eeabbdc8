#include "text/byte_trie.h"

namespace gaggle {

void ByteTrie::insert(std::string_view bytes, int32_t value) {
  uint32_t node = kRoot;
  for (const char byte : bytes) {
    const auto [place, fresh] = next_.try_emplace(edge(node, byte), static_cast<uint32_t>(values_.size()));
    if (fresh) values_.push_back(-1);
    node = place->second;
  }
  values_[node] = value;
}

std::optional<uint32_t> ByteTrie::next(uint32_t node, char byte) const {
  const auto found = next_.find(edge(node, byte));
  return found == next_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace gaggle
