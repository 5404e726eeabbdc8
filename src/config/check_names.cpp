// Names in a config: runs, experts, collections, inventories, and the methods of eval.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/names.h"
#include "config/check.h"
#include "config/method_text.h"

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
  const std::string key = "eval.methods";
  const std::vector<std::string>& methods = config.eval.methods;
  if (methods.empty()) complaints.emplace_back(key, "eval.methods is empty: name at least one, e.g. [\"phatgoose\"]");
  std::set<std::string> seen;
  for (const std::string& text : methods) try {
      const MethodText method = read_method_text(config, text);
      if (!seen.insert(method.whole).second)
        complaints.emplace_back(key, fmt::format("eval.methods names \"{}\" twice", method.whole));
      const size_t colon = method.name.find(':');
      if (colon == std::string::npos) continue;
      const std::string name = method.name.substr(colon + 1);
      if (method.name.starts_with("expert:"))
        check_as_name(complaints, key, name, "eval.methods: the expert in \"" + method.name + "\",");
      else
        check_as_pin(complaints, key, name, "eval.methods: the inventory in \"" + method.name + "\",");
    } catch (const UserError& error) {
      complaints.emplace_back(key, std::string("eval.methods: ") + error.what());
    }
}

}  // namespace gaggle
