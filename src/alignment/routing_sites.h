// An inventory's routing table as the analysis of routing wants it.
#pragma once

#include "adapter/poly.h"
#include "alignment/routing_table.h"

namespace gaggle {

// Whether there is something to learn about who uses which skill.
bool has_routing_table(const PolySpec& spec);

// One for each table: a site's own, or that of the sites that share one (poly.router_granularity). `values`:
// all of poly_layout(spec), on any device.
std::vector<RoutingSite> routing_sites(const PolySpec& spec, const at::Tensor& values);

}  // namespace gaggle
