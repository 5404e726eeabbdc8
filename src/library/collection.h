// Experts → tensors on the base's sites, for routing.
#pragma once

#include "adapter/routed.h"
#include "library/lora.h"

namespace gaggle {

// In the base's dtype, on its device; gates in fp32.
RoutedCollection routed_collection(const std::vector<Lora>& experts, const BaseModel& base);

// What pins an expert's tensors: name@version and the digest of its SHA256SUMS.
std::string pinned(const Lora& expert);

}  // namespace gaggle
