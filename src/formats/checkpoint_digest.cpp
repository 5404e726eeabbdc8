#include "formats/checkpoint_digest.h"

#include <algorithm>

#include "base/sha256.h"

namespace gaggle {

std::string shapes_digest(std::vector<WeightInfo> weights) {
  std::sort(weights.begin(), weights.end(),
            [](const WeightInfo& left, const WeightInfo& right) { return left.name < right.name; });
  Sha256 digest;
  for (const WeightInfo& weight : weights) {
    std::string line = weight.name;
    for (int64_t extent : weight.shape) line += " " + std::to_string(extent);
    digest.update(line + "\n");
  }
  return digest.hex();
}

}  // namespace gaggle
