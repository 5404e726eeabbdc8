#include "alignment/routing_table.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "alignment/similarity.h"
#include "alignment/statistics.h"
#include "base/error.h"
#include "base/table.h"

namespace gaggle {
namespace {

at::Tensor sigmoids(const RoutingSite& site) {
  GAGGLE_CHECK(site.logits.dim() == 2 && site.logits.size(1) == site.heads * site.skills, "{}", site.name);
  return at::sigmoid(site.logits.to(at::kCPU, at::kDouble)).view({-1, site.heads, site.skills});
}

// -p log p, 0 at p = 0.
at::Tensor entropy_terms(const at::Tensor& p) { return -at::xlogy(p, p); }

double mean_of(const at::Tensor& values) { return values.to(at::kDouble).mean().item<double>(); }

RoutingNumbers mean_over(std::string name, const std::vector<RoutingNumbers>& sites) {
  RoutingNumbers mean{std::move(name)};
  const auto count = static_cast<double>(sites.size());
  for (const RoutingNumbers& site : sites)
    for (const RoutingField& field : routing_fields) mean.*field.value += site.*field.value / count;
  return mean;
}

}  // namespace

bool has_routing_table(const PolySpec& spec) { return spec.routing == Routing::learned && spec.skills > 1; }

std::vector<RoutingSite> routing_sites(const PolySpec& spec, const at::Tensor& values) {
  const ParameterLayout layout = poly_layout(spec);
  std::vector<RoutingSite> sites;
  std::set<std::string> seen;
  for (const LoraSite& s : spec.sites) {
    const std::string prefix = spec.router_prefix(s.site);
    if (!seen.insert(prefix).second) continue;
    const std::string name = prefix.empty() ? "model" : prefix.substr(0, prefix.size() - 1);
    const std::string kind = spec.granularity == Granularity::site ? s.site.kind : name_of(spec.granularity);
    sites.push_back({name, kind, spec.heads, spec.skills, layout.view(values, spec.router_name(s.site))});
  }
  return sites;
}

at::Tensor routing_weights(const RoutingSite& site) {
  const at::Tensor z = sigmoids(site);
  return z / (z.sum(2, true) + 1e-12);
}

RoutingNumbers routing_numbers(const RoutingSite& site) {
  const at::Tensor z = sigmoids(site), w = routing_weights(site);
  RoutingNumbers numbers{site.name};
  numbers.discreteness = 1 - mean_of(entropy_terms(z) + entropy_terms(1 - z)) / std::log(2.0);
  numbers.active = mean_of(z >= 0.5);
  numbers.sparsity = mean_of(w < 0.5 / static_cast<double>(site.skills));
  numbers.largest = mean_of(w.amax(2));
  const at::Tensor used = z.mean(0);  // [heads, skills]
  numbers.usage = site.skills == 1 ? 1
                                   : mean_of(entropy_terms(used / used.sum(1, true)).sum(1)) /
                                         std::log(static_cast<double>(site.skills));
  return numbers;
}

std::vector<RoutingNumbers> routing_by_site(std::span<const RoutingSite> sites) {
  std::vector<RoutingNumbers> numbers;
  for (const RoutingSite& site : sites) numbers.push_back(routing_numbers(site));
  return numbers;
}

std::vector<RoutingNumbers> routing_by_kind(std::span<const RoutingSite> sites,
                                            const std::vector<RoutingNumbers>& by_site) {
  std::vector<std::string> kinds;
  std::vector<std::vector<RoutingNumbers>> of_kind;
  for (size_t s = 0; s < sites.size(); ++s) {
    const auto kind = static_cast<size_t>(std::ranges::find(kinds, sites[s].kind) - kinds.begin());
    if (kind == kinds.size()) {
      kinds.push_back(sites[s].kind);
      of_kind.emplace_back();
    }
    of_kind[kind].push_back(by_site[s]);
  }
  std::vector<RoutingNumbers> means;
  for (size_t k = 0; k < kinds.size(); ++k) means.push_back(mean_over(kinds[k], of_kind[k]));
  means.push_back(mean_over("all", by_site));
  return means;
}

at::Tensor routing_similarity(std::span<const RoutingSite> sites) {
  std::vector<at::Tensor> weights;
  for (const RoutingSite& site : sites) weights.push_back(routing_weights(site).flatten(1));
  const at::Tensor rows = at::cat(weights, 1);
  const at::Tensor centred = rows - rows.mean(0, true);
  return cosines(at::mm(centred, centred.t()));
}

std::vector<std::string> routing_heading(const std::string& first) {
  std::vector<std::string> heading = {first};
  for (const RoutingField& field : routing_fields) heading.emplace_back(field.name);
  return heading;
}

std::vector<Cell> routing_cells(const std::string& first, const RoutingNumbers& numbers) {
  std::vector<Cell> cells = {first};
  for (const RoutingField& field : routing_fields) {
    const double value = numbers.*field.value;
    cells.push_back(field.share ? fmt::format("{:.1f} %", 100 * value) : fmt::format("{:.3f}", value));
  }
  return cells;
}

Page routing_page(std::span<const RoutingSite> sites, const std::vector<std::string>& tasks) {
  Table table(routing_heading("routing"));
  for (const RoutingNumbers& numbers : routing_by_kind(sites, routing_by_site(sites)))
    table.add(routing_cells(numbers.name, numbers));
  return Page(std::move(table)) + "\n" +
         matrix_page("tasks' routing rows, less their mean", tasks, routing_similarity(sites));
}

}  // namespace gaggle
