// The kinds of things a registry holds, each in a folder of its own: registry/<folder>/NAME/vNNNN/.
#pragma once

#include <array>

namespace gaggle {

enum class Kind { expert, inventory, routing_row, collection };
inline constexpr std::array all_kinds = {Kind::expert, Kind::inventory, Kind::routing_row, Kind::collection};

struct KindWords {
  const char* folder;   // "experts"
  const char* one;      // "expert", in sentences
  const char* sidecar;  // the JSON file that says what a version is
  const char* hint;     // what to do where a name is not there
};
const KindWords& words_of(Kind kind);

}  // namespace gaggle
