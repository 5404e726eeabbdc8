// A routing row in memory: a task's routing values over the skills of a parent inventory, adapted alone (MHR-z).
#pragma once

#include <map>

#include "library/inventory.h"

namespace gaggle {

struct RoutingRow {
  std::string name, version;  // "tomi.z", "v0001"
  std::string digest;         // of its SHA256SUMS
  std::string task;
  std::string parent;                        // inventory, "mhr@v0001"
  std::map<std::string, at::Tensor> logits;  // by the router's name, [1, heads · skills] fp32 on the CPU
  std::string not_finite = {};               // the first value that is NaN or infinite; "": none is
  std::string pin() const { return name + "@" + version; }
};

// The routing values among all of poly_layout(spec); spec.tasks = 1.
std::map<std::string, at::Tensor> row_logits(const PolySpec& spec, const at::Tensor& values);

// The parent with the row in place of its table: one task, row.task; the skills are the parent's. Throws
// UserError where the row's tensors are not those of the parent's routers.
Inventory with_routing_row(const Inventory& parent, const RoutingRow& row);

// The CURRENT version of `name`, or name@version. Throws UserError: not there, or a parent that is gone or is
// not the one that the row was made from.
RoutingRow load_routing_row(const Registry& registry, const std::string& name);
// A new version of row.name; returns the version. Throws UserError if the parent is not there.
std::string store_routing_row(Registry& registry, const RoutingRow& row, const Provenance& made);

}  // namespace gaggle
