// Which versions the words of `gaggle registry ls` and `verify` mean: "tomi", "tomi@v0002", "experts/tomi", and patterns of the
// shell in place of names, "bb-*".
#pragma once

#include <string>
#include <vector>

#include "registry/registry.h"

namespace gaggle {

// Those of a kind that one of the words means; no words: all.
std::vector<Version> selected(const Registry& registry, Kind kind, const std::vector<std::string>& wanted);
// Throws UserError naming the nearest name where a word means nothing that is there.
void check_selection(const Registry& registry, const std::vector<std::string>& wanted);

}  // namespace gaggle
