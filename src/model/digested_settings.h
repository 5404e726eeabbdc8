// The settings of a base that make another function of the same tensors: what the digest of its contents covers
// besides.
#pragma once

#include <string>

#include "formats/checkpoint.h"

namespace gaggle {

// "": none. Keys that older versions made know the tensors alone, so the settings of the family's default, and of
// models as they were published, are not digested; all others are.
std::string digested_settings(const ModelSpec& spec);

}  // namespace gaggle
