#include "workflow/eval_sources.h"

#include <set>

#include "job/inputs.h"
#include "base/error.h"
#include "base/names.h"

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

EvalSources load_sources(const Config& config, const BaseModel& base) {
  const auto& names = config.eval.methods;
  EvalSources sources;
  if (needs_collection(config.eval)) sources.collection_name = needed_collection(config);
  std::vector<Expert> experts;
  if (!sources.collection_name.empty() || std::ranges::any_of(names, needs_artefact)) {
    const auto registry = Registry::open(config.registry.path, fingerprint_of(base), /*create=*/false);
    if (!sources.collection_name.empty()) experts = registry.load_collection(sources.collection_name);
    sources.artefacts = load_artefacts(config, registry, base.sites());
  }
  sources.collection = routed_collection(experts, base);
  for (const Expert& expert : experts) sources.pins += pinned(expert) + "\n";
  sources.methods = read_methods(config, sources.collection, sources.artefacts);
  return sources;
}

std::vector<std::pair<std::string, std::string>> source_lines(const EvalSources& sources, const Config& config) {
  std::vector<std::pair<std::string, std::string>> lines;
  if (!sources.collection_name.empty())
    lines.emplace_back("collection", fmt::format("{} of {}   {} experts: {}", sources.collection_name,
                                                 config.registry.path, sources.collection.names.size(),
                                                 join(sources.collection.names, ", ")));
  std::set<std::string> said;
  for (const Method& method : sources.methods)
    if (method.artefact && said.insert(method.artefact->digest).second)
      lines.emplace_back(method.artefact->row.empty() ? "routed" : "row", method.artefact->description());
  return lines;
}

}  // namespace gaggle
