// What routing needs of all experts of a collection before a token takes one, and its form in the registry's cache.
#pragma once

#include <functional>

#include "adapter/routed.h"
#include "library/lora.h"
#include "registry/pins.h"

namespace gaggle {

// Experts of a collection as they lie in the registry, and what their values become.
struct StoredCollection {
  Registry registry;
  ExpertSet members;
  std::vector<Site> sites;  // of the base
  at::ScalarType dtype;     // of the base
  std::string key;          // names the experts' bytes, the base's shapes and dtype
};

struct CollectionIndex {
  std::vector<std::string> not_finite;  // [N], as in RoutedCollection
  at::Tensor ranks, scales;             // [N, sites] fp64; rank 0: it is absent there
  std::vector<SiteCandidates> gated;    // [sites], by the gates
};

// From the cache, or, where it is not there, from every byte of every expert; then the cache is written where `keep`
// says so. Throws UserError where an expert is damaged or does not fit.
CollectionIndex index_of(const StoredCollection& stored, bool keep);

// By Arrow's directions, [sites]; `pairs(z)` [sites] reads an expert, and may be called by several threads.
std::vector<SiteCandidates> arrows_of(const StoredCollection& stored, const CollectionIndex& index, bool keep,
                                      const std::function<std::vector<LowRank>(size_t)>& pairs);

// Why an expert cannot be computed with: not finite as it is stored, or not in the base's numbers; "": it can.
std::string why_not_finite(const Lora& expert, at::ScalarType dtype);

// The sites with shapes alone, on the meta device.
std::vector<RoutedSite> shapes_of(const StoredCollection& stored, const CollectionIndex& index);

}  // namespace gaggle
