// The sites of several LoRAs side by side, for what is computed over all of them.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <span>
#include <string>
#include <vector>

#include "formats/peft.h"

namespace gaggle {

// A site of those LoRAs that have it.
struct SharedSite {
  std::vector<int64_t> experts;  // ascending
  std::vector<const PeftSite*> sites;
};

// By module path. `names`: of the LoRAs, for messages. Throws UserError where two of them have a site with other widths.
std::map<std::string, SharedSite> shared_sites(std::span<const PeftAdapter> loras, std::span<const std::string> names);

// fp64.
at::Tensor doubles_of(const PeftTensor& tensor);

}  // namespace gaggle
