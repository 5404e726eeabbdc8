// The settings of a base that make another function of the same tensors: what the digest of its contents covers
// besides.
#pragma once

#include <string>

#include "formats/checkpoint.h"

namespace gaggle {

// rope_theta where it is not 10000, how positions are scaled, windows. "": none.
std::string digested_settings(const ModelSpec& spec);

}  // namespace gaggle
