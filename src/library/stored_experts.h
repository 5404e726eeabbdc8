// A collection's experts, read from the registry when a token takes them first.
#pragma once

#include "library/collection_index.h"

namespace gaggle {

// Its pairs by site as the base's numbers, contiguous but for B, whose transpose is. Throws UserError where the file is
// not the one that was committed.
std::vector<LowRank> read_pairs(const StoredCollection& stored, const CollectionIndex& index, size_t expert);

std::shared_ptr<ExpertSource> stored_experts(StoredCollection stored, CollectionIndex index, bool keep);

}  // namespace gaggle
