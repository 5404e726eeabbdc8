// An inventory in memory: skills with their routing table, Poly's, MHR's, shared or private ones, of low-rank
// pairs or of (IA)³'s vectors; from PEFT folders and a registry, and back.
#pragma once

#include "adapter/poly.h"
#include "formats/peft.h"
#include "library/provenance.h"
#include "registry/registry.h"

namespace gaggle {

struct Inventory {
  PolySpec spec;
  at::Tensor values;                       // [poly_layout(spec).size()] fp32 on the CPU
  std::string name, version;               // "mhr-demo", "v0001"
  std::string digest;                      // names its files in the keys of what is made from it
  std::string method;                      // poly | mhr | shared | private
  std::vector<std::string> tasks;          // by row of the routing table
  std::vector<std::string> pretrained_on;  // tasks of the skills' pretraining
  std::string not_finite;                  // of its values, or of a routing row's, as in PeftAdapter
  std::string routing_row;                 // "tomi.z@v0001": stands in for the table (routing_row.h); "": none does

  std::string pin() const;                         // of the routing row, else "mhr-demo@v0001"
  std::string description() const;                 // "mhr-demo@v0001   mhr, 12 tasks, 8 skills, 8 heads", for people
  int task_number(const std::string& task) const;  // -1: the table has no row of it
};

// Every site gets its own logits, also where several share a row of the table. Fixed routing becomes logits
// that give it: 0 for uniform, ±40 for a task's own skill. One vector of (IA)³ for all tasks takes PEFT's own form.
PeftAdapter inventory_to_peft(const PolySpec& spec, const at::Tensor& values, const PeftBase& base);
// [poly_layout(spec).size()] fp32. Throws UserError that begins with `where` if skills, heads, ranks, tasks or
// sites are not those of `spec`. A row of the table that several sites share is the first site's.
at::Tensor inventory_values(const PeftAdapter& peft, const PolySpec& spec, const std::string& where);

// inventory_values of a PEFT folder anywhere. Throws NotFinite besides.
at::Tensor read_inventory_values(const std::filesystem::path& folder, const PolySpec& spec);
// The CURRENT version of `name`, or name@version. Throws UserError: not there, a site that the base does not
// have, shapes that do not fit it. What is not finite is noted.
Inventory load_inventory(const Registry& registry, const std::string& name, const std::vector<Site>& sites);
// A new version of inventory.name, whose sidecar also says method, tasks and router_granularity; returns the version.
std::string store_inventory(Registry& registry, const Inventory& inventory, Provenance made);

}  // namespace gaggle
