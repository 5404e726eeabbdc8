// Three kinds: a low-rank pair, or a vector, per site for all tokens; and pairs chosen by token.
#include "adapter/routed.h"

#include <algorithm>
#include <numeric>

#include "adapter/ia3.h"
#include "base/error.h"
#include "kernel/dispatch.h"

namespace gaggle {
namespace {

// The same pair for every token.
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

// The same vector for every token.
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

// The k candidates with the best scores, weighted by a softmax over these.
class ScoredAdapter : public TokenAdapter {
 public:
  ScoredAdapter(std::vector<RoutedSite> sites, const RoutedCollection& collection, Scoring scoring, int64_t k)
      : TokenAdapter(std::move(sites), collection), scoring_(scoring), k_(k) {}

 private:
  TokenRouting choose(const Site&, const RoutedSite& experts, const at::Tensor& x) override {
    return route(x, experts, scoring_, k_);
  }

  Scoring scoring_;
  int64_t k_;
};

// direction(site, expert) [d_in] of every expert that is at a site; undefined: it is no candidate there.
template <class Direction>
std::unique_ptr<RoutedAdapter> route_tokens(const RoutedCollection& collection, Scoring scoring, int64_t k,
                                            const Direction& direction) {
  std::vector<RoutedSite> sites = collection.sites;
  for (size_t s = 0; s < sites.size(); ++s) {
    std::vector<at::Tensor> directions(sites[s].experts.size());
    for (size_t z = 0; z < directions.size(); ++z)
      if (sites[s].experts[z].a.defined()) directions[z] = direction(s, z);
    set_directions(sites[s], directions);
  }
  return std::make_unique<ScoredAdapter>(std::move(sites), collection, scoring, k);
}

std::unique_ptr<RoutedAdapter> route_tokens(const RoutedCollection& collection, Scoring scoring, int64_t k,
                                            const std::vector<SiteCandidates>& candidates) {
  std::vector<RoutedSite> sites = collection.sites;
  for (size_t s = 0; s < sites.size(); ++s) static_cast<SiteCandidates&>(sites[s]) = candidates[s];
  return std::make_unique<ScoredAdapter>(std::move(sites), collection, scoring, k);
}

// Of one expert, [sites].
std::vector<LowRank> pairs_of(const RoutedCollection& collection, size_t expert) {
  if (collection.source) return collection.source->pairs({&expert, 1})[0];
  std::vector<LowRank> pairs;
  for (const RoutedSite& site : collection.sites) pairs.push_back(site.experts[expert]);
  return pairs;
}

// [expert][site].
std::vector<std::vector<LowRank>> all_pairs(const RoutedCollection& collection) {
  std::vector<size_t> all(collection.names.size());
  std::iota(all.begin(), all.end(), size_t{0});
  if (collection.source) return collection.source->pairs(all);
  std::vector<std::vector<LowRank>> pairs;
  for (const size_t expert : all) pairs.push_back(pairs_of(collection, expert));
  return pairs;
}

}  // namespace

bool RoutedCollection::gated(int expert) const {
  return std::ranges::any_of(gates, [&](const auto& site) { return site[static_cast<size_t>(expert)].defined(); });
}

int RoutedCollection::number_of(const std::string& name) const {
  const auto found = std::ranges::find(names, name);
  return found == names.end() ? -1 : static_cast<int>(found - names.begin());
}

void RoutedAdapter::backward(const Site&, const at::Tensor&, const at::Tensor&, at::Tensor&) {
  GAGGLE_CHECK(false, "routed adapters are for inference");
}

void TokenAdapter::forward(const Site& site, const at::Tensor& x, at::Tensor& y) {
  const RoutedSite& experts = sites_[static_cast<size_t>(site.index)];
  if (experts.candidates.empty() || x.size(0) == 0) return;
  const TokenRouting routed = choose(site, experts, x);
  if (observer_) observer_(site, routed);
  if (source_) fetch(routed.experts);
  add_routed(x, y, experts, routed);
  if (!weight_.defined()) weight_ = at::zeros({experts_}, routed.weights.options().dtype(at::kDouble));
  add_weights(routed, weight_);
}

// Reads those of the experts that no token took before.
void TokenAdapter::fetch(const at::Tensor& experts) {
  const at::Tensor taken = experts.contiguous();
  std::vector<size_t> wanted;
  for (int64_t i = 0; i < taken.numel(); ++i) {
    const auto z = static_cast<size_t>(taken.const_data_ptr<int64_t>()[i]);
    if (!there_[z] && std::ranges::find(wanted, z) == wanted.end()) wanted.push_back(z);
  }
  if (wanted.empty()) return;
  const auto pairs = source_->pairs(wanted);
  for (size_t i = 0; i < wanted.size(); ++i) {
    for (size_t s = 0; s < sites_.size(); ++s)
      if (pairs[i][s].a.defined()) sites_[s].experts[wanted[i]] = pairs[i][s];
    there_[wanted[i]] = 1;
  }
}

std::vector<double> TokenAdapter::weight_by_expert() const {
  if (!weight_.defined()) return std::vector<double>(static_cast<size_t>(experts_), 0);
  const auto host = weight_.cpu();
  return {host.data_ptr<double>(), host.data_ptr<double>() + experts_};
}

std::unique_ptr<RoutedAdapter> make_phatgoose(const RoutedCollection& collection, int64_t k) {
  if (collection.source) return route_tokens(collection, Scoring::phatgoose, k, collection.source->gated());
  return route_tokens(collection, Scoring::phatgoose, k, [&](size_t site, size_t expert) {
    const at::Tensor& gate = collection.gates[site][expert];
    return gate.defined() ? standardise(gate.to(at::kFloat)) : gate;
  });
}

std::unique_ptr<RoutedAdapter> make_arrow(const RoutedCollection& collection, Scoring scoring, int64_t k) {
  if (collection.source) return route_tokens(collection, scoring, k, collection.source->arrows());
  return route_tokens(collection, scoring, k, [&](size_t site, size_t expert) {
    const LowRank& pair = collection.sites[site].experts[expert];
    return arrow_direction(pair.a, pair.b);
  });
}

std::unique_ptr<RoutedAdapter> make_single(const RoutedCollection& collection, int expert) {
  return std::make_unique<FixedAdapter>(pairs_of(collection, static_cast<size_t>(expert)));
}

std::unique_ptr<RoutedAdapter> make_fixed(const PolySpec& spec, const at::Tensor& mixture, const BaseModel& base) {
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

std::vector<LowRank> mean_pairs(const RoutedCollection& collection) {
  std::vector<LowRank> pairs(collection.sites.size());
  const auto all = all_pairs(collection);
  for (size_t s = 0; s < pairs.size(); ++s) {
    // Σ scale/N · B A as one pair of rank R: the scales go into B.
    std::vector<at::Tensor> a, bt;
    for (const std::vector<LowRank>& expert : all) {
      if (!expert[s].a.defined()) continue;
      const float share = static_cast<float>(expert[s].scale) / static_cast<float>(all.size());
      a.push_back(expert[s].a);
      bt.push_back(widened(expert[s].b.t()).mul(share).to(expert[s].b.scalar_type()));
    }
    if (!a.empty()) pairs[s] = {at::cat(a), at::cat(bt).t(), 1, {}};
  }
  return pairs;
}

std::unique_ptr<RoutedAdapter> make_merged(const RoutedCollection& collection) {
  return std::make_unique<FixedAdapter>(mean_pairs(collection));
}

uint64_t bytes_of(const RoutedCollection& collection) {
  const auto bytes = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.nbytes() : size_t{0}; };
  uint64_t all = 0;
  for (const RoutedSite& site : collection.sites)
    for (const LowRank& pair : site.experts) all += bytes(pair.a) + bytes(pair.b);
  for (const auto& site : collection.gates)
    for (const at::Tensor& gate : site) all += bytes(gate);
  return all;
}

RoutedCollection without(const RoutedCollection& collection, const std::vector<char>& experts) {
  GAGGLE_CHECK(!collection.source, "experts that are read later cannot be left out");
  RoutedCollection rest = collection;
  for (size_t z = 0; z < experts.size(); ++z) {
    if (!experts[z]) continue;
    for (size_t s = 0; s < rest.sites.size(); ++s) {
      rest.sites[s].experts[z] = {};
      rest.gates[s][z].reset();
    }
  }
  return rest;
}

}  // namespace gaggle
