// The command line. Read before MPI starts, so that a typing mistake costs nothing.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace gaggle {

// `words`: the arguments after the program's name. Returns what runs the command that they ask for; --help and --version
// are commands that print. Throws UserError with the nearest option or command.
std::function<Exit()> parse_command_line(const std::vector<std::string>& words);

}  // namespace gaggle
