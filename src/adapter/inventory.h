// A skill inventory as a registry holds it: routed/NAME/vNNNN, and what is known of it beside the PEFT tensors.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "adapter/poly.h"
#include "registry/routed.h"

namespace gaggle {

struct Inventory {
  PolySpec spec;
  at::Tensor values;                               // [poly_layout(spec).size()] fp32 on the CPU
  std::string name, version;                       // "mhr-demo", "v0001"
  std::string digest;                              // StoredRouted::digest
  std::string method;                              // poly | mhr | shared | private
  std::vector<std::string> tasks;                  // by routing row
  std::string pin() const;                         // "mhr-demo@v0001"
  int task_number(const std::string& task) const;  // -1: it has no row
};

// Of low-rank skills. Throws UserError for other skills, for a site that the base does not have, and for shapes
// that do not fit it.
Inventory inventory_of(const StoredRouted& routed, const std::vector<Site>& sites);

// [poly_layout(spec).size()] fp32 of an artefact that was trained with this spec, whatever its skills are.
at::Tensor stored_values(const StoredRouted& routed, const PolySpec& spec);

// Whatever the skills are: what commit_routed wants but for the key. `about`: base, recipe, data, metrics, …;
// method, tasks and router_granularity are added.
NewRouted new_routed(const Inventory& inventory, const std::vector<Site>& sites, const PeftBase& base,
                     nlohmann::json about, DType dtype);

}  // namespace gaggle
