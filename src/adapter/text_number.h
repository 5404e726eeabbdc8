// The number that stands for a text: of all its token ids, those that an encoder read before the decoder's.
#pragma once

#include <cstdint>
#include <span>

#include "base/philox.h"

namespace gaggle {

// One token more. The empty text is 0.
inline uint64_t longer_text(uint64_t text, int32_t id) { return random_key("text", {text, static_cast<uint64_t>(id)}); }

inline uint64_t text_number(std::span<const int32_t> ids, uint64_t before = 0) {
  for (const int32_t id : ids) before = longer_text(before, id);
  return before;
}

}  // namespace gaggle
