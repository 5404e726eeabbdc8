#include "adapter/inventory.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "adapter/poly_peft.h"
#include "base/error.h"

namespace gaggle {

int Inventory::task_number(const std::string& task) const {
  const auto found = std::find(tasks.begin(), tasks.end(), task);
  return found == tasks.end() ? -1 : static_cast<int>(found - tasks.begin());
}

std::string Inventory::pin() const {
  return name + "@" + version;
}

Inventory inventory_of(const StoredRouted& routed, const std::vector<Site>& sites) {
  const PeftPoly& poly = routed.poly;
  const PeftIa3& ia3 = routed.ia3;
  const bool pairs = !poly.sites.empty();
  const std::string where = routed.folder.string();
  const auto about = nlohmann::json::parse(routed.json);
  Inventory inventory;
  inventory.name = routed.name;
  inventory.version = routed.version;
  inventory.digest = routed.digest;
  inventory.method = about.value("method", poly.heads > 1 ? "mhr" : "poly");
  inventory.tasks = routed.tasks;
  PolySpec& spec = inventory.spec;
  spec.skill = pairs ? SkillKind::low_rank : SkillKind::rescaling;
  spec.tasks = static_cast<int64_t>(routed.tasks.size());
  spec.skills = pairs ? poly.skills : ia3.skills;
  spec.heads = pairs ? poly.heads : ia3.heads;
  spec.routing = routing_of_method(inventory.method);
  spec.granularity = about.value("router_granularity", "site");
  std::map<std::string, const Site*> by_name;
  for (const Site& site : sites) by_name[site.name] = &site;
  const auto add = [&](const std::string& site, int64_t rank) {
    const auto found = by_name.find(site);
    if (found == by_name.end()) user_error("{}: the model has no linear {}", where, site);
    spec.sites.push_back({*found->second, rank, 1 / static_cast<double>(rank)});
  };
  for (const PeftPolySite& s : poly.sites) add(s.site, s.rank);
  for (const PeftIa3Site& s : ia3.sites) add(s.site, 1);
  std::ranges::sort(spec.sites, {}, [](const LoraSite& s) { return s.site.index; });
  inventory.values = stored_values(routed, spec);
  return inventory;
}

at::Tensor stored_values(const StoredRouted& routed, const PolySpec& spec) {
  const std::string where = routed.folder.string();
  return spec.skill == SkillKind::rescaling ? ia3_from_peft(routed.ia3, spec, where)
                                            : poly_from_peft(routed.poly, spec, where);
}

NewRouted new_routed(const Inventory& inventory, const std::vector<Site>& sites, const PeftBase& base,
                     nlohmann::json about, DType dtype) {
  const std::vector<std::string> all = site_names(sites);
  about["method"] = inventory.method;
  about["tasks"] = inventory.tasks;
  about["router_granularity"] = inventory.spec.granularity;
  if (inventory.spec.skill == SkillKind::rescaling) {
    const PeftIa3 ia3 = ia3_to_peft(inventory.spec, inventory.values, base);
    return {inventory.name, peft_ia3_config_json(ia3, all), peft_ia3_tensors(ia3, dtype), about.dump(), ""};
  }
  const PeftPoly poly = poly_to_peft(inventory.spec, inventory.values, base);
  return {inventory.name, peft_poly_config_json(poly, all), peft_poly_tensors(poly, dtype), about.dump(), ""};
}

}  // namespace gaggle
