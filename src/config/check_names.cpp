// Names in a config: runs, experts, collections, inventories, and the methods of eval.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/names.h"
#include "config/check.h"

namespace gaggle {
namespace {

void check_as_name(Complaints& complaints, const std::string& key, const std::string& value, const std::string& what) {
  try {
    check_name(value, what);
  } catch (const UserError& error) {
    complaints.emplace_back(key, error.what());
  }
}

// NAME or NAME@version; which versions there are the registry knows.
void check_as_pin(Complaints& complaints, const std::string& key, const std::string& value, const std::string& what) {
  const size_t at = value.find('@');
  check_as_name(complaints, key, value.substr(0, at), what);
  if (at == std::string::npos) return;
  const std::string version = value.substr(at + 1);
  if (version.size() < 5 || version[0] != 'v' || version.find_first_not_of("0123456789", 1) != std::string::npos)
    complaints.emplace_back(key, fmt::format("{} \"{}\": after the @ stands a version such as v0001", what, value));
}

}  // namespace

void check_names(Complaints& complaints, const Config& config) {
  check_as_name(complaints, "run.name", config.run.name, "run.name");
  for (const auto& [key, name] :
       {std::pair("run.variant", &config.run.variant), std::pair("registry.collection", &config.registry.collection)})
    if (!name->empty()) check_as_name(complaints, key, *name, key);
  for (const auto& [expert, file] : config.gate.tasks)
    check_as_name(complaints, "gate.tasks", expert, "gate.tasks: the expert");
  for (const auto& [key, pin] :
       {std::pair("adapt.from", &config.adapt.from), std::pair("adapt.shared_from", &config.adapt.shared_from),
        std::pair("eval.inventory", &config.eval.inventory), std::pair("eval.collection", &config.eval.collection)})
    if (!pin->empty()) check_as_pin(complaints, key, *pin, key);
}

void check_eval_methods(Complaints& complaints, const Config& config) {
  static const std::vector<std::string> plain = {"none",   "uniform", "random", "arrow", "phatgoose",
                                                 "oracle", "experts", "poly",   "mu",    "shared"};
  static const std::vector<std::string> named = {"expert:NAME", "poly:NAME", "mu:NAME", "shared:NAME", "z:NAME"};
  const std::string key = "eval.methods";
  const std::vector<std::string>& methods = config.eval.methods;
  if (methods.empty()) complaints.emplace_back(key, "eval.methods is empty: name at least one, e.g. [\"phatgoose\"]");
  std::set<std::string> seen;
  for (const auto& method : methods) {
    if (!seen.insert(method).second)
      complaints.emplace_back(key, fmt::format("eval.methods names \"{}\" twice", method));
    const size_t colon = method.find(':');
    const std::string form = method.substr(0, colon) + ":NAME";
    if (colon != std::string::npos && std::ranges::find(named, form) != named.end()) {
      const std::string name = method.substr(colon + 1);
      if (method.starts_with("expert:"))
        check_as_name(complaints, key, name, "eval.methods: the expert in \"" + method + "\",");
      else
        check_as_pin(complaints, key, name, "eval.methods: the inventory in \"" + method + "\",");
    } else if (std::ranges::find(plain, method) == plain.end()) {
      std::vector<std::string> known = plain;
      known.insert(known.end(), named.begin(), named.end());
      complaints.emplace_back(key, fmt::format("eval.methods: unknown method \"{}\"{}; known: {}", method,
                                               did_you_mean(method, known), join(known, ", ")));
    }
  }
}

}  // namespace gaggle
