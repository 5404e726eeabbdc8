#include "eval/artefact.h"

#include "adapter/inventory_row.h"
#include "base/error.h"
#include "registry/sums.h"

namespace gaggle {
namespace {

// "poly:mhr-demo" → {"poly", "mhr-demo"}; "mu" → {"mu", ""}.
std::pair<std::string, std::string> split_method(const std::string& method) {
  const size_t colon = method.find(':');
  return {method.substr(0, colon), colon == std::string::npos ? "" : method.substr(colon + 1)};
}

Artefact routed_artefact(const Registry& registry, const std::string& name, const std::vector<Site>& sites) {
  Artefact artefact;
  artefact.inventory = inventory_of(load_routed(registry, name), sites);
  artefact.trained_on = artefact.inventory.tasks;
  artefact.digest = artefact.inventory.digest;
  return artefact;
}

Artefact row_artefact(const Registry& registry, const std::string& name, const std::vector<Site>& sites) {
  const StoredRow row = load_row(registry, name);
  Artefact artefact = routed_artefact(registry, row.parent, sites);
  artefact.inventory = with_row(artefact.inventory, row);
  artefact.row = row.name + "@" + row.version;
  artefact.digest = sums_digest(row.folder);
  return artefact;
}

void check_serves(const std::string& kind, const Artefact& artefact) {
  const Inventory& inventory = artefact.inventory;
  if (kind == "shared" && inventory.method != "shared")
    user_error("{} is of poly.method = \"{}\", not \"shared\"; its skills' average is mu:{}", artefact.pin(),
               inventory.method, inventory.name);
  if (kind == "poly" && inventory.method == "shared")
    user_error("{} is shared by all tasks and has no row of any; it is shared:{}", artefact.pin(),
               inventory.name);
}

}  // namespace

std::string Artefact::pin() const {
  return row.empty() ? inventory.pin() : row;
}

std::string Artefact::description() const {
  const PolySpec& spec = inventory.spec;
  const auto count = [](int64_t n, const char* one) {
    return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s");
  };
  if (!row.empty())
    return fmt::format("{}   adapted to {}, mixes the {} of {}@{}", row, inventory.tasks.front(),
                       count(spec.skills, "skill"), inventory.name, inventory.version);
  return fmt::format("{}   {}, {}, {}, {}", pin(), inventory.method, count(spec.tasks, "task"),
                     count(spec.skills, "skill"), count(spec.heads, "head"));
}

bool needs_artefact(const std::string& method) {
  const auto [kind, name] = split_method(method);
  return kind == "poly" || kind == "mu" || kind == "shared" || (kind == "z" && !name.empty());
}

Artefacts load_artefacts(const Config& config, const Registry& registry, const std::vector<Site>& sites) {
  const std::string own = config.run.full_name();
  std::map<std::string, std::shared_ptr<const Artefact>> read;  // by kind of file and name: none is read twice
  Artefacts artefacts;
  for (const std::string& method : config.eval.methods) {
    if (!needs_artefact(method)) continue;
    auto [kind, name] = split_method(method);
    std::string whence = method;
    if (name.empty() && config.eval.inventory.empty())
      whence += fmt::format(" (the run's own artefact {}, because eval.inventory is empty)", own);
    if (name.empty()) name = config.eval.inventory.empty() ? own : config.eval.inventory;
    try {
      auto& artefact = read[(kind == "z" ? "rows/" : "routed/") + name];
      if (!artefact)
        artefact = std::make_shared<const Artefact>(kind == "z" ? row_artefact(registry, name, sites)
                                                                : routed_artefact(registry, name, sites));
      check_serves(kind, *artefact);
      artefacts[method] = artefact;
    } catch (const UserError& error) {
      user_error("{}: {}: {}", methods_origin(config), whence, error.what());
    }
  }
  return artefacts;
}

std::string methods_origin(const Config& config) {
  const auto found = config.origin.find("eval.methods");
  return found == config.origin.end() ? "eval.methods" : found->second + ": eval.methods";
}

}  // namespace gaggle
