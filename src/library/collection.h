// Experts → tensors on the base's sites, for routing.
#pragma once

#include "adapter/routed.h"
#include "library/lora.h"

namespace gaggle {

// Of experts in memory: in the base's dtype, on its device; gates in fp32.
RoutedCollection routed_collection(const std::vector<Lora>& experts, const BaseModel& base);

// What pins an expert's tensors: name@version and the digest of its SHA256SUMS.
std::string pinned(const Version& expert);

struct OpenedCollection {
  RoutedCollection collection;
  std::string pins;  // pinned() of its experts, a line each
};

// A collection of the registry (registry/pins.h: members_of). On a CPU its experts are read when tokens take them first, and what
// routing needs besides comes from the registry's cache, which `keep` lets it write. Throws UserError where an expert is
// gone, is not the one that was pinned, or is damaged: of one that is read later, when it is read. `whole`: all are read
// at once.
OpenedCollection open_collection(const Registry& registry, const std::string& name, const BaseModel& base, bool keep,
                                 bool whole = false);

}  // namespace gaggle
