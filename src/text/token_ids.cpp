#include "text/token_ids.h"

#include <fmt/format.h>

namespace gaggle {

std::optional<int32_t> find_id(const TokenIds& ids, std::string_view token) {
  const auto found = ids.find(token);
  return found == ids.end() ? std::nullopt : std::optional(found->second);
}

bool append_byte_tokens(const TokenIds& ids, std::string_view text, std::vector<int32_t>& tokens) {
  std::vector<int32_t> bytes;
  for (const char byte : text) {
    const auto id = find_id(ids, fmt::format("<0x{:02X}>", static_cast<unsigned char>(byte)));
    if (!id) return false;
    bytes.push_back(*id);
  }
  tokens.insert(tokens.end(), bytes.begin(), bytes.end());
  return true;
}

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
