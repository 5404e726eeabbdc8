// GPT-2's printable spelling of bytes: each of the 256 is one character in the vocabulary ("Ġ" is a space).
#pragma once

#include <string>
#include <string_view>

namespace gaggle {

std::string spell_bytes(std::string_view bytes);
// The bytes that `spelling` stands for; the spelling itself if a character of it stands for no byte.
std::string unspell_bytes(std::string_view spelling);

}  // namespace gaggle
