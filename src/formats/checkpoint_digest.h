// The digest of a base's names and shapes: what decides whether an expert fits a base.
#pragma once

#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace gaggle {

// SHA-256 over the lines "name d0 d1\n" in name order. Equal however the model is stored (folder or GGUF).
std::string shapes_digest(std::vector<WeightInfo> weights);

}  // namespace gaggle
