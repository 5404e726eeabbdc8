// Three kinds: a low-rank pair, or a vector, per site for all rows, and pairs chosen per token.
#include "adapter/routed.h"

#include <algorithm>

#include "adapter/ia3.h"
#include "base/error.h"
#include "kernel/dispatch.h"

namespace gaggle {
namespace {

// The same pair for every row.
class FixedAdapter : public RoutedAdapter {
 public:
  explicit FixedAdapter(std::vector<LowRank> sites) : sites_(std::move(sites)) {}
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override {
    const LowRank& pair = sites_[static_cast<size_t>(site.index)];
    const Segment all{0, 0, x.size(0)};
    if (pair.a.defined()) segmented_lowrank_forward(x, y, {&all, 1}, {&pair, 1});
  }

 private:
  std::vector<LowRank> sites_;
};

// The same vector for every row.
class FixedRescaling : public RoutedAdapter {
 public:
  explicit FixedRescaling(std::vector<at::Tensor> sites) : sites_(std::move(sites)) {}
  at::Tensor rescaled_input(const Site& site, const at::Tensor& x) override {
    const at::Tensor& l = at_site(site);
    return l.defined() && site.reads_activation ? rescaled(x, l) : x;
  }
  void forward(const Site& site, const at::Tensor&, at::Tensor& y) override {
    const at::Tensor& l = at_site(site);
    if (l.defined() && !site.reads_activation) y.mul_(l);
  }

 private:
  const at::Tensor& at_site(const Site& site) const { return sites_[static_cast<size_t>(site.index)]; }
  std::vector<at::Tensor> sites_;  // [width] fp32
};

class TokenAdapter : public RoutedAdapter {
 public:
  TokenAdapter(std::vector<RoutedSite> sites, Scoring scoring, int64_t k, size_t experts)
      : sites_(std::move(sites)), scoring_(scoring), k_(k), experts_(static_cast<int64_t>(experts)) {}

  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override {
    const RoutedSite& routed_site = sites_[static_cast<size_t>(site.index)];
    if (routed_site.candidates.empty() || x.size(0) == 0) return;
    const TokenRouting routed = route(x, routed_site, scoring_, k_);
    add_routed(x, y, routed_site, routed);
    // Not bincount: with weights it has no deterministic form on CUDA.
    if (!weight_.defined()) weight_ = at::zeros({experts_}, routed.weights.options().dtype(at::kDouble));
    const auto weights = routed.weights.flatten().to(at::kDouble);
    weight_ += at::zeros_like(weight_).index_add_(0, routed.experts.flatten(), weights);
  }

  std::vector<double> weight_by_expert() const override {
    if (!weight_.defined()) return std::vector<double>(static_cast<size_t>(experts_), 0);
    const auto host = weight_.cpu();
    return {host.data_ptr<double>(), host.data_ptr<double>() + experts_};
  }

 private:
  std::vector<RoutedSite> sites_;
  Scoring scoring_;
  int64_t k_, experts_;
  at::Tensor weight_;  // [N] fp64
};

}  // namespace

bool RoutedCollection::gated(int expert) const {
  return std::any_of(gates.begin(), gates.end(),
                     [&](const auto& site) { return site[static_cast<size_t>(expert)].defined(); });
}

int RoutedCollection::number_of(const std::string& name) const {
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? -1 : static_cast<int>(found - names.begin());
}

void RoutedAdapter::backward(const Site&, const at::Tensor&, const at::Tensor&, at::Tensor&) {
  GAGGLE_CHECK(false, "routed adapters are for inference");
}

std::unique_ptr<RoutedAdapter> make_phatgoose(const RoutedCollection& collection, int64_t k) {
  std::vector<RoutedSite> sites = collection.sites;
  for (size_t s = 0; s < sites.size(); ++s) {
    std::vector<int> candidates;
    std::vector<at::Tensor> directions;
    for (size_t z = 0; z < collection.names.size(); ++z)
      if (sites[s].experts[z].a.defined() && collection.gates[s][z].defined()) {
        candidates.push_back(static_cast<int>(z));
        directions.push_back(standardise(collection.gates[s][z].to(at::kFloat)));
      }
    set_candidates(sites[s], std::move(candidates), directions);
  }
  return std::make_unique<TokenAdapter>(std::move(sites), Scoring::phatgoose, k, collection.names.size());
}

std::unique_ptr<RoutedAdapter> make_arrow(const RoutedCollection& collection, Scoring scoring, int64_t k) {
  std::vector<RoutedSite> sites = collection.sites;
  for (RoutedSite& site : sites) {
    std::vector<int> candidates;
    std::vector<at::Tensor> directions;
    for (size_t z = 0; z < site.experts.size(); ++z)
      if (site.experts[z].a.defined()) {
        candidates.push_back(static_cast<int>(z));
        directions.push_back(arrow_direction(site.experts[z].a, site.experts[z].b));
      }
    set_candidates(site, std::move(candidates), directions);
  }
  return std::make_unique<TokenAdapter>(std::move(sites), scoring, k, collection.names.size());
}

std::unique_ptr<RoutedAdapter> make_single(const RoutedCollection& collection, int expert) {
  std::vector<LowRank> pairs;
  for (const RoutedSite& site : collection.sites) pairs.push_back(site.experts[static_cast<size_t>(expert)]);
  return std::make_unique<FixedAdapter>(std::move(pairs));
}

std::unique_ptr<RoutedAdapter> make_fixed(const PolySpec& spec, const at::Tensor& mixture,
                                          const BaseModel& base) {
  const ParameterLayout layout = mixture_layout(spec);
  const auto take = [&](const LoraSite& s, const char* name, at::ScalarType dtype) {
    return layout.view(mixture, s.site.name + name).to(base.device(), dtype);
  };
  if (spec.skill == SkillKind::rescaling) {
    std::vector<at::Tensor> vectors(base.sites().size());
    for (const LoraSite& s : spec.sites)
      vectors[static_cast<size_t>(s.site.index)] = take(s, ".poly_ia3_l", sum_type(base.dtype())).flatten();
    return std::make_unique<FixedRescaling>(std::move(vectors));
  }
  std::vector<LowRank> pairs(base.sites().size());
  for (const LoraSite& s : spec.sites)
    pairs[static_cast<size_t>(s.site.index)] = {
        take(s, ".lora_A", base.dtype()), take(s, ".lora_B", base.dtype()), s.scale, {}};
  return std::make_unique<FixedAdapter>(std::move(pairs));
}

std::unique_ptr<RoutedAdapter> make_uniform(const RoutedCollection& collection) {
  std::vector<LowRank> pairs(collection.sites.size());
  const auto experts = static_cast<double>(collection.names.size());
  for (size_t s = 0; s < pairs.size(); ++s) {
    const RoutedSite& site = collection.sites[s];
    if (!site.stacked_a.defined()) continue;
    // Σ scale/N · B A as one pair of rank R: the scales go into B.
    const auto column = (site.scales / experts).index_select(0, site.column_expert).unsqueeze(1);
    pairs[s].a = site.stacked_a;
    pairs[s].b = (site.stacked_bt * column).to(site.stacked_bt.scalar_type()).t();
  }
  return std::make_unique<FixedAdapter>(std::move(pairs));
}

}  // namespace gaggle
