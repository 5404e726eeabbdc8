// Per-token routing at one site: scores, the k best, their weights, and the weighted sum of experts.
#pragma once

#include <ATen/ATen.h>

#include "base/rows.h"
#include "kernel/segmented_lowrank.h"

namespace gaggle {

enum class Scoring { phatgoose, arrow_mttl, arrow_phatgoose };

// What routing needs of a site, prepared once. Experts that are absent at the site are not candidates.
struct RoutedSite {
  std::vector<LowRank> experts;      // [N], absent: undefined a
  at::Tensor directions;             // [C, d_in] fp32, one per candidate: standardised gates, or arrow vectors
  std::vector<int> candidates;       // [C] expert numbers, ascending
};

struct Routed {
  at::Tensor experts;                // [T, k'] int64, expert numbers, best first (ties: the lower number)
  at::Tensor weights;                // [T, k'] fp32, softmax over those k' = min(k, C)
};

// v standardised over d (biased variance, eps 1e-5). v [.., d] fp32.
at::Tensor standardise(const at::Tensor& v);

// phatgoose: s = x̂·v̂/√d; arrow_mttl: |x·v|; arrow_phatgoose: |x·v|/(10√d). k = 0: all candidates. Scores in fp32.
Routed route(const at::Tensor& x, const RoutedSite& site, Scoring scoring, int64_t k);

// y [T, d_out] += Σ_j weights[t,j] · scale · B (A x[t]) of experts[t,j]: rows sorted by expert, one product a segment.
void add_routed(const at::Tensor& x, at::Tensor& y, const RoutedSite& site, const Routed& routed);

}  // namespace gaggle
