// From Gram matrices to cosines: of one measurement, and of a window of measurements without the bias of noise.
#pragma once

#include <ATen/ATen.h>

#include <limits>
#include <span>
#include <string>
#include <vector>

#include "alignment/gradients.h"

namespace gaggle {

inline constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

// Sites whose Grams are added up: all, one kind, one layer.
struct SiteGroup {
  std::string by, name;       // "all", "all" | "kind", "q_proj" | "layer", "3"
  std::vector<size_t> sites;  // ascending
  bool operator==(const SiteGroup&) const = default;
};
// "all" first, then kinds in order of appearance, then layers ascending.
std::vector<SiteGroup> site_groups(std::span<const AlignedSite> sites);

// [sites, T, T] → [groups, T, T].
at::Tensor group_grams(const at::Tensor& by_site, std::span<const SiteGroup> groups);

// Gram [.., T, T] → cosines; NaN where a norm is not positive.
at::Tensor cosines(const at::Tensor& gram);

// Over the pairs of different tasks that have a cosine.
struct PairStatistics {
  double mean_cosine = unknown;
  double median_cosine = unknown;  // holds where a few noise-free ones lie far out
  double conflicting = unknown;    // share of pairs with a cosine below 0
  int64_t pairs = 0;
};
PairStatistics pair_statistics(const at::Tensor& cosines);  // [T, T]

// Inner products added up per pair of tasks over measurements: the ratio is taken at the end, because a mean of
// ratios of noisy numbers is biased and a ratio of their means is not, in the limit. A batch holds some tasks
// only, so each pair has the norms of those measurements that held both.
struct PairSums {
  at::Tensor product;  // [groups, T, T] fp64: Σ <t, t'>
  at::Tensor norm;     // [groups, T, T] fp64: Σ <t, t> where t' was measured too
  at::Tensor count;    // [T, T] int64: measurements of the pair
};
PairSums no_pairs(int64_t groups, int64_t tasks);
// grams [groups, t, t] of the tasks with these numbers; `use` (t flags): who is counted.
void add_pairs(PairSums& sums, const at::Tensor& grams, std::span<const int> tasks, const std::vector<bool>& use);
// [groups, T, T]: Σ <t,t'> / sqrt(Σ <t,t> · Σ <t',t'>). Of Grams between halves a norm may come out as zero or
// less, and a cosine beyond ±1: the former is NaN, the latter stands as it is. NaN too where nothing was counted.
at::Tensor pair_cosines(const PairSums& sums);

// Tasks with samples in both halves of the batch.
std::vector<bool> in_both_halves(const BatchTasks& batch);

}  // namespace gaggle
