// The records of collectives that a hung run left in its run folder, told in words.
#pragma once

#include <filesystem>
#include <string>

namespace gaggle {

// "no records of collectives in PATH" where there are none.
std::string read_collective_records(const std::filesystem::path& path);

}  // namespace gaggle
