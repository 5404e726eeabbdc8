#include "eval/inventories.h"

#include "base/error.h"
#include "library/routing_row.h"

namespace gaggle {
namespace {

// "poly:mhr-demo" → {"poly", "mhr-demo"}; "mu" → {"mu", ""}.
std::pair<std::string, std::string> split_method(const std::string& method) {
  const size_t colon = method.find(':');
  return {method.substr(0, colon), colon == std::string::npos ? "" : method.substr(colon + 1)};
}

Inventory load_through_row(const Registry& registry, const std::string& name, const std::vector<Site>& sites) {
  const RoutingRow row = load_routing_row(registry, name);
  return with_routing_row(load_inventory(registry, row.parent, sites), row);
}

void check_serves(const std::string& kind, const Inventory& inventory) {
  if (kind == "shared" && inventory.method != "shared")
    user_error("{} is of poly.method = \"{}\", not \"shared\"; its skills' average is mu:{}", inventory.pin(),
               inventory.method, inventory.name);
  if (kind == "poly" && inventory.method == "shared")
    user_error("{} is shared by all tasks and has no routing row of any; it is shared:{}", inventory.pin(),
               inventory.name);
}

}  // namespace

bool needs_inventory(const std::string& method) {
  const auto [kind, name] = split_method(method);
  return kind == "poly" || kind == "mu" || kind == "shared" || (kind == "z" && !name.empty());
}

Inventories load_inventories(const Config& config, const Registry& registry, const std::vector<Site>& sites) {
  const std::string of_run = config.run.full_name();
  Inventories read;  // by kind and name: none is read twice
  Inventories inventories;
  for (const std::string& method : config.eval.methods) {
    if (!needs_inventory(method)) continue;
    auto [kind, name] = split_method(method);
    std::string whence = method;
    if (name.empty() && config.eval.inventory.empty())
      whence += fmt::format(" (the run's own inventory {}, because eval.inventory is empty)", of_run);
    if (name.empty()) name = config.eval.inventory.empty() ? of_run : config.eval.inventory;
    try {
      auto& inventory = read[(kind == "z" ? "routing row " : "") + name];
      if (!inventory)
        inventory = std::make_shared<const Inventory>(kind == "z" ? load_through_row(registry, name, sites)
                                                                  : load_inventory(registry, name, sites));
      check_serves(kind, *inventory);
      inventories[method] = inventory;
    } catch (const UserError& error) {
      user_error("{}: {}: {}", methods_origin(config), whence, error.what());
    }
  }
  return inventories;
}

std::string methods_origin(const Config& config) {
  const auto found = config.origin.find("eval.methods");
  return found == config.origin.end() ? "eval.methods" : found->second + ": eval.methods";
}

}  // namespace gaggle
