// What the input of a site says for each expert: the scores that routing chooses by.
#pragma once

#include <memory>
#include <vector>

#include "kernel/routing.h"
#include "model/site.h"

namespace gaggle {

class SiteScores {
 public:
  virtual ~SiteScores() = default;
  // [T, C] fp32 of x [T, d_in], in the order of experts.candidates; -inf: not this one.
  virtual at::Tensor of(const Site& site, const RoutedSite& experts, const at::Tensor& x) const = 0;
};

// By the candidates' directions (kernel/routing.h).
std::unique_ptr<SiteScores> scores_by_direction(Scoring scoring);

// SpectR's score (arXiv 2504.03454), the length of what an expert would add: |scale·B A x| = |R A x| with scale·B = Q R,
// made once. `sites` [sites of the base] with their candidates, all of whose pairs are there.
std::unique_ptr<SiteScores> scores_by_output(const std::vector<RoutedSite>& sites);

// The `best` candidates by direction, scored by output (LAG, arXiv 2507.05346); all others are out.
std::unique_ptr<SiteScores> scores_by_output_of_best(const std::vector<RoutedSite>& sites, Scoring scoring,
                                                     int64_t best);

// |scale·B A| (Frobenius) of a pair, from r×r products.
double update_norm(const LowRank& pair);

}  // namespace gaggle
