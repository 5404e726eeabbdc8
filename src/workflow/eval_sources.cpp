#include "workflow/eval_sources.h"

#include <set>

#include "base/error.h"
#include "base/names.h"
#include "job/inputs.h"

namespace gaggle {
namespace {

std::string needed_collection(const Config& config) {
  const std::string name = config.eval.collection.empty() ? config.registry.collection : config.eval.collection;
  if (name.empty())
    user_error("{}: eval.collection and registry.collection are not set: name a collection of {}", config.file,
               config.registry.path);
  return name;
}

}  // namespace

EvalSources load_sources(const Config& config, const BaseModel& base, bool keep) {
  const auto& names = config.eval.methods;
  EvalSources sources;
  const std::string collection = needs_collection(config.eval) ? needed_collection(config) : "";
  sources.collection = routed_collection({}, base);
  if (!collection.empty() || std::ranges::any_of(names, needs_inventory)) {
    const auto registry = Registry::open(config.registry.path, fingerprint_of(base), /*create=*/false);
    if (!collection.empty()) {
      // Which version is in use is asked once: another may be in use a moment later.
      sources.collection_pin = registry.load(Kind::collection, collection).pin();
      OpenedCollection opened = open_collection(registry, sources.collection_pin, base, keep);
      sources.collection = std::move(opened.collection);
      sources.pins = std::move(opened.pins);
    }
    sources.inventories = load_inventories(config, registry, base.sites());
  }
  sources.methods = read_methods(config, sources.collection, sources.inventories);
  return sources;
}

std::vector<PlanLine> source_lines(const EvalSources& sources, const Config& config) {
  std::vector<PlanLine> lines;
  if (!sources.collection_pin.empty())
    lines.push_back(
        {"collection", fmt::format("{} of {}   {} experts: {}", sources.collection_pin, config.registry.path,
                                   sources.collection.names.size(), join(sources.collection.names, ", "))});
  std::set<std::string> said;
  for (const Method& method : sources.methods)
    if (method.inventory && said.insert(method.inventory->digest).second)
      lines.push_back(
          {method.inventory->routing_row.empty() ? "inventory" : "routing row", method.inventory->description()});
  return lines;
}

}  // namespace gaggle
