#include "adapter/site_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gaggle {
namespace {

// Products of so many values at a time.
constexpr int64_t most_products = int64_t{1} << 24;

class DirectionScores : public SiteScores {
 public:
  explicit DirectionScores(Scoring scoring) : scoring_(scoring) {}
  at::Tensor of(const Site&, const RoutedSite& experts, const at::Tensor& x) const override {
    return direction_scores(x, experts, scoring_);
  }

 private:
  Scoring scoring_;
};

// R A of every candidate, with rows of zeros up to the largest rank: [C, r, d_in] fp32.
at::Tensor output_factors(const RoutedSite& site) {
  std::vector<at::Tensor> factors;
  int64_t rank = 0;
  for (const int z : site.candidates) {
    const LowRank& pair = site.experts[static_cast<size_t>(z)];
    const auto [q, r] = at::linalg_qr(pair.b.to(at::kCPU, at::kDouble), "r");
    factors.push_back(at::matmul(r, pair.a.to(at::kCPU, at::kDouble)).mul_(pair.scale));
    rank = std::max(rank, factors.back().size(0));
  }
  for (at::Tensor& factor : factors) factor = at::constant_pad_nd(factor, {0, 0, 0, rank - factor.size(0)});
  const LowRank& first = site.experts[static_cast<size_t>(site.candidates[0])];
  return at::stack(factors).to(first.a.device(), at::kFloat);
}

class OutputScores : public SiteScores {
 public:
  explicit OutputScores(const std::vector<RoutedSite>& sites) {
    for (const RoutedSite& site : sites)
      factors_.push_back(site.candidates.empty() ? at::Tensor() : output_factors(site));
  }

  at::Tensor of(const Site& site, const RoutedSite& experts, const at::Tensor& x) const override {
    const at::Tensor& factors = factors_[static_cast<size_t>(site.index)];
    const auto all = static_cast<int64_t>(experts.candidates.size());
    const int64_t at_once = std::max<int64_t>(1, most_products / (x.size(0) * factors.size(1)));
    std::vector<at::Tensor> scores;
    for (int64_t first = 0; first < all; first += at_once)
      scores.push_back(lengths(x.to(at::kFloat), factors.narrow(0, first, std::min(at_once, all - first))));
    return at::cat(scores, 1);
  }

 protected:
  // [T, C] of factors [C, r, d_in].
  static at::Tensor lengths(const at::Tensor& x, const at::Tensor& factors) {
    const at::Tensor products = at::matmul(x, factors.flatten(0, 1).t());
    return products.view({x.size(0), factors.size(0), factors.size(1)}).norm(2, {2});
  }

  std::vector<at::Tensor> factors_;  // [sites]
};

class OutputScoresOfBest : public OutputScores {
 public:
  OutputScoresOfBest(const std::vector<RoutedSite>& sites, Scoring scoring, int64_t best)
      : OutputScores(sites), scoring_(scoring), best_(best) {}

  at::Tensor of(const Site& site, const RoutedSite& experts, const at::Tensor& x) const override {
    const auto all = static_cast<int64_t>(experts.candidates.size());
    if (all <= best_) return OutputScores::of(site, experts, x);
    const at::Tensor order = at::arange(all, x.options().dtype(at::kLong));
    const at::Tensor chosen = best_of(direction_scores(x, experts, scoring_), order, best_).experts;  // [T, best]
    at::Tensor scores =
        at::full({x.size(0), all}, -std::numeric_limits<float>::infinity(), chosen.options().dtype(at::kFloat));
    const at::Tensor& factors = factors_[static_cast<size_t>(site.index)];
    for (int64_t c = 0; c < all; ++c) {
      const at::Tensor tokens = chosen.eq(c).any(1).nonzero().flatten();
      if (tokens.numel() == 0) continue;
      const at::Tensor lengths_of = lengths(x.index_select(0, tokens).to(at::kFloat), factors.narrow(0, c, 1));
      scores.select(1, c).index_copy_(0, tokens, lengths_of.flatten());
    }
    return scores;
  }

 private:
  Scoring scoring_;
  int64_t best_;
};

}  // namespace

std::unique_ptr<SiteScores> scores_by_direction(Scoring scoring) { return std::make_unique<DirectionScores>(scoring); }

std::unique_ptr<SiteScores> scores_by_output(const std::vector<RoutedSite>& sites) {
  return std::make_unique<OutputScores>(sites);
}

std::unique_ptr<SiteScores> scores_by_output_of_best(const std::vector<RoutedSite>& sites, Scoring scoring,
                                                     int64_t best) {
  return std::make_unique<OutputScoresOfBest>(sites, scoring, best);
}

double update_norm(const LowRank& pair) {
  const at::Tensor a = pair.a.to(at::kCPU, at::kDouble), b = pair.b.to(at::kCPU, at::kDouble);
  const double squared = at::matmul(a, a.t()).mul_(at::matmul(b.t(), b)).sum().item<double>();
  return std::abs(pair.scale) * std::sqrt(std::max(0.0, squared));
}

}  // namespace gaggle
