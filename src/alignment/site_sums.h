// Per-task gradients summed over ranks and spread along the sites. Inner products do not commute with a sum
// over ranks: the sum comes first, and each site's is made on one rank.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "alignment/gradients.h"
#include "comm/communicator.h"

namespace gaggle {

// Sites by rank, ascending: the largest first, each to the rank with the fewest values so far (ties: the lower
// site, the lower rank).
std::vector<std::vector<size_t>> deal_sites(std::span<const AlignedSite> sites, int ranks);

// Calls what(site, all, even) for this rank's sites with the sums over all ranks, [T, site.size()]: fp64 on the
// CPU, added in rank order; a group of one sends nothing and passes views of its own tensors. Collective: one
// all-to-all for as many sites as there are ranks, so that little is held beside the gradients.
void for_each_summed_site(std::span<const AlignedSite> sites, const TaskGradients& mine, Communicator& group,
                          const std::function<void(size_t site, const at::Tensor& all, const at::Tensor& even)>& what);

}  // namespace gaggle
