#include "text/token_ids.h"

#include <fmt/format.h>

namespace gaggle {

bool append_byte_tokens(const TokenIds& ids, std::string_view text, std::vector<int32_t>& tokens) {
  std::vector<int32_t> bytes;
  for (const char byte : text) {
    const auto found = ids.find(fmt::format("<0x{:02X}>", static_cast<unsigned char>(byte)));
    if (found == ids.end()) return false;
    bytes.push_back(found->second);
  }
  tokens.insert(tokens.end(), bytes.begin(), bytes.end());
  return true;
}

}  // namespace gaggle
