// What is printed to be typed into a shell.
#pragma once

#include <string>
#include <string_view>

namespace gaggle {

// A word as a shell takes it: as it is where nothing in it means something to a shell, else in single quotes.
std::string shell_word(std::string_view text);

}  // namespace gaggle
