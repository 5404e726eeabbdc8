// The control that routing by content is held against (arXiv 2602.12323): for every token and site k experts drawn by
// lot, with weights 1/k. Rank, scale and norm of the experts are as they are.
#pragma once

#include "adapter/routed.h"

namespace gaggle {

// Of the experts that sit at a site; fewer than k: all of them, and k = 0 likewise. A draw is keyed by the seed, the
// site's name and the token's text: all token ids of its sequence up to it, behind those that an encoder read. So it is
// the same in whatever batch a token is, alone or behind cached tokens. A pass without cached tokens begins a new cache.
std::unique_ptr<RoutedAdapter> make_random(const RoutedCollection& collection, int64_t k, uint64_t seed);

}  // namespace gaggle
