// Experts of the registry → tensors on the base's sites.
#pragma once

#include <string>
#include <vector>

#include "adapter/routed.h"
#include "registry/registry.h"

namespace gaggle {

// In the base's dtype, on its device; gates in fp32. Throws UserError for a site that the base does not have,
// and for shapes that do not fit it.
RoutedCollection routed_collection(const std::vector<Expert>& experts, const BaseModel& base);

// What pins an expert's tensors: name@version and the digest of its SHA256SUMS.
std::string pinned(const Expert& expert);

}  // namespace gaggle
