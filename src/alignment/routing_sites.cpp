#include "alignment/routing_sites.h"

#include <set>

namespace gaggle {

bool has_routing_table(const PolySpec& spec) {
  return spec.routing == Routing::learned && spec.skills > 1;
}

std::vector<RoutingSite> routing_sites(const PolySpec& spec, const at::Tensor& values) {
  const ParameterLayout layout = poly_layout(spec);
  std::vector<RoutingSite> sites;
  std::set<std::string> seen;
  for (const LoraSite& s : spec.sites) {
    const std::string prefix = spec.router_prefix(s.site);
    if (!seen.insert(prefix).second) continue;
    const std::string name = prefix.empty() ? "model" : prefix.substr(0, prefix.size() - 1);
    const bool own = spec.granularity == "site";
    sites.push_back({name, own ? s.site.kind : spec.granularity, spec.heads, spec.skills,
                     layout.view(values, spec.router_name(s.site))});
  }
  return sites;
}

}  // namespace gaggle
