// What a routing table looks like: how discrete, how sparse, how evenly it uses the skills, and which tasks it
// routes alike. Discreteness and usage as in the Poly paper (arXiv 2202.13914) and mttl's log of them:
// entropies of σ(Z), normalised to 0 … 1.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "adapter/poly.h"
#include "base/page.h"

namespace gaggle {

// The logits of one site (or of what shares a routing row), [T, heads · skills], any float type.
struct RoutingSite {
  std::string name, kind;
  int64_t heads = 1, skills = 1;
  at::Tensor logits;
};

// Whether there is something to learn about who uses which skill.
bool has_routing_table(const PolySpec& spec);
// One for each routing table of an inventory: a site's own, or that of the sites that share one
// (poly.router_granularity). `values`: [poly_layout(spec).size()] on any device.
std::vector<RoutingSite> routing_sites(const PolySpec& spec, const at::Tensor& values);

// Weights per head, [T, heads, skills] fp64: z_k / (Σ_k z_k + 1e-12) with z = σ(logits).
at::Tensor routing_weights(const RoutingSite& site);

struct RoutingNumbers {
  std::string name;         // of the site or kind; "all"
  double discreteness = 0;  // 1 - mean binary entropy of σ(Z) in bits: 0 all at ½, 1 all at 0 or 1
                            // (mttl logs that entropy itself)
  double active = 0;        // share of σ(Z) ≥ ½ (mttl's "sparsity")
  double sparsity = 0;      // share of w below 1 / (2K): skills that a task hardly uses
  double largest = 0;       // mean of max_k w_k: 1/K uniform, 1 one skill a head
  double usage = 0;         // mean over heads of the entropy of mean_t σ(Z) over the skills, / log K: 1 all
                            // skills used alike; 1 where K = 1
};
struct RoutingField {
  const char* name;
  double RoutingNumbers::*value;
  bool share;  // printed in percent
};
inline constexpr RoutingField routing_fields[] = {{"discreteness", &RoutingNumbers::discreteness, false},
                                                  {"active", &RoutingNumbers::active, true},
                                                  {"sparsity", &RoutingNumbers::sparsity, true},
                                                  {"largest", &RoutingNumbers::largest, false},
                                                  {"usage", &RoutingNumbers::usage, false}};
RoutingNumbers routing_numbers(const RoutingSite& site);
std::vector<RoutingNumbers> routing_by_site(std::span<const RoutingSite> sites);
// Means over the sites, whose numbers are given: kinds in order of appearance, then "all".
std::vector<RoutingNumbers> routing_by_kind(std::span<const RoutingSite> sites,
                                            const std::vector<RoutingNumbers>& by_site);

// Cosine [T, T] fp64 of the tasks' weights at all sites, one long row a task, the mean over tasks taken off;
// NaN for a task that routes as the mean does.
at::Tensor routing_similarity(std::span<const RoutingSite> sites);

// A row of a table of them: `first`, then each field.
std::vector<std::string> routing_heading(const std::string& first);
std::vector<Cell> routing_cells(const std::string& first, const RoutingNumbers& numbers);

// Numbers by kind and in all; then the tasks in linkage order with their similarities.
Page routing_page(std::span<const RoutingSite> sites, const std::vector<std::string>& tasks);

}  // namespace gaggle
