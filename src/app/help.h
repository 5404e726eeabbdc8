// What --help prints: one page for each command, made of its parser.
#pragma once

#include <memory>

#include "app/syntax.h"

namespace gaggle {

std::string help_page(const CommandSyntax& command, size_t width);

// For CLI11: the same of a parser, as wide as standard output has room.
std::shared_ptr<CLI::FormatterBase> help_formatter();

}  // namespace gaggle
