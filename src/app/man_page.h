// The man page gaggle(1), made of the parsers and the config's schema.
#pragma once

#include "app/syntax.h"

namespace gaggle {

std::string man_page(const CommandSyntax& program);  // troff with the macros of man(7)

}  // namespace gaggle
