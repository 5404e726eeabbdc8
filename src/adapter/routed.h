// What sits on the sites at inference: a collection of experts, routed per token, alone, or averaged; or one
// mixture of skills.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adapter/poly.h"
#include "kernel/routing.h"
#include "model/base_model.h"

namespace gaggle {

// Where experts come from that are read when a token takes them first: a collection of a registry.
class ExpertSource {
 public:
  virtual ~ExpertSource() = default;
  // Their pairs [sites of the base], kept once they were read. Throws UserError where a file is damaged.
  virtual std::vector<std::vector<LowRank>> pairs(std::span<const size_t> experts) = 0;
  // [sites], by the gates or by Arrow's directions.
  virtual const std::vector<SiteCandidates>& gated() = 0;
  virtual const std::vector<SiteCandidates>& arrows() = 0;
};

// N experts on the base's sites; ranks, scales and sites may differ from expert to expert.
struct RoutedCollection {
  std::vector<std::string> names;              // [N]
  std::vector<RoutedSite> sites;               // [sites of the base], without candidates
  std::vector<std::vector<at::Tensor>> gates;  // [sites][N] fp32 [d_in]; undefined: none there
  std::vector<std::string> not_finite;         // [N] why an expert cannot be computed with; "": it can
  std::shared_ptr<ExpertSource> source = {};   // not null: sites and gates have shapes alone (kernel/routing.h)
  std::vector<double> gate_bias = {};          // [N] b of σ(v·x + b) in the gates' training; empty: 0
  std::vector<std::string> categories = {};    // [N] of the tasks they were trained on; "", or empty: not known

  bool gated(int expert) const;                  // at one site at least
  int number_of(const std::string& name) const;  // -1: not there
};

uint64_t bytes_of(const RoutedCollection& collection);  // of pairs and gates in memory

// Told what a site chose: experts and weights of the tokens that it reads, on the base's device.
using RoutingObserver = std::function<void(const Site& site, const TokenRouting& routed)>;

class RoutedAdapter : public SiteAdapter {
 public:
  void begin(const Microbatch&) override {}
  // Inference only: a logic error.
  void backward(const Site&, const at::Tensor&, const at::Tensor&, at::Tensor&) override;
  // Σ of routing weight per expert over the tokens and sites seen, [N]; empty where nothing is routed by token.
  virtual std::vector<double> weight_by_expert() const { return {}; }
  // Who is told of every choice from here on (empty: nobody); where nothing is routed by token there is none to tell of.
  virtual void observe(RoutingObserver) {}
};

// Experts that are chosen for every token and site; a routing method says which, and their weights.
class TokenAdapter : public RoutedAdapter {
 public:
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override;
  std::vector<double> weight_by_expert() const override;
  void observe(RoutingObserver observer) override { observer_ = std::move(observer); }

 protected:
  // `sites`: those of the collection with their candidates.
  TokenAdapter(std::vector<RoutedSite> sites, const RoutedCollection& collection)
      : sites_(std::move(sites)),
        experts_(static_cast<int64_t>(collection.names.size())),
        source_(collection.source),
        there_(collection.names.size(), collection.source ? 0 : 1) {}
  // Of the T tokens whose x [T, d_in] the site reads; the site has candidates, and T > 0.
  virtual TokenRouting choose(const Site& site, const RoutedSite& experts, const at::Tensor& x) = 0;

 private:
  void fetch(const at::Tensor& experts);

  std::vector<RoutedSite> sites_;
  int64_t experts_;
  std::shared_ptr<ExpertSource> source_;
  std::vector<char> there_;  // [N] whose pairs are
  at::Tensor weight_;        // [N] fp64
  RoutingObserver observer_;
};

// Experts without a gate at a site are no candidates there. k = 0: dense.
std::unique_ptr<RoutedAdapter> make_phatgoose(const RoutedCollection& collection, int64_t k);
// Scoring::arrow_mttl or arrow_phatgoose; needs no gates.
std::unique_ptr<RoutedAdapter> make_arrow(const RoutedCollection& collection, Scoring scoring, int64_t k);
// One expert for every token.
std::unique_ptr<RoutedAdapter> make_single(const RoutedCollection& collection, int expert);
// One mixture of an inventory's skills for every token, a LoRA or (IA)³'s vectors; [mixture_layout(spec).size()].
std::unique_ptr<RoutedAdapter> make_fixed(const PolySpec& spec, const at::Tensor& mixture, const BaseModel& base);
// Mean of scale·B A over all N; an expert absent at a site counts as zero there.
std::unique_ptr<RoutedAdapter> make_merged(const RoutedCollection& collection);
// The same by site, as one pair of all their ranks.
std::vector<LowRank> mean_pairs(const RoutedCollection& collection);
// The collection as if these experts, [N], were absent everywhere and had no gates; its source is null.
RoutedCollection without(const RoutedCollection& collection, const std::vector<char>& experts);

}  // namespace gaggle
