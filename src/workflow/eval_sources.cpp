#include "workflow/eval_sources.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/names.h"
#include "base/table.h"
#include "config/method_text.h"
#include "eval/kept_adapters.h"
#include "job/inputs.h"
#include "registry/pins.h"

namespace gaggle {
namespace {

// Experts of the tasks' own names, wherever the registry has them.
std::shared_ptr<const TargetExperts> target_experts(const Registry& registry, const BaseModel& base,
                                                    const std::vector<TokenTask>& tasks) {
  auto targets = std::make_shared<TargetExperts>();
  std::vector<Lora> experts;
  for (const TokenTask& task : tasks) {
    const auto expert = registry.find(Kind::expert, task.name);
    if (!expert) continue;
    experts.push_back(load_lora(registry, expert->pin(), base.sites()));
    targets->pins.push_back(pinned(*expert));
  }
  targets->collection = routed_collection(experts, base);
  return targets;
}

}  // namespace

std::string needed_collection(const Config& config, const Registry& registry) {
  const std::string name = config.eval.collection.empty() ? config.registry.collection : config.eval.collection;
  return name.empty() ? all_in_use(registry) : registry.load(Kind::collection, name).pin();
}

EvalSources load_sources(const Config& config, const BaseModel& base, const std::vector<TokenTask>& tasks, bool keep,
                         bool all) {
  EvalSources sources;
  sources.collection = routed_collection({}, base);
  const auto& names = config.eval.methods;
  const bool base_alone = std::ranges::all_of(names, [](const auto& name) { return name == "none"; });
  std::optional<Registry> registry;
  if (!base_alone) registry = Registry::open(config.registry.path, fingerprint_of(base), /*create=*/false);
  if (needs_collection(config.eval)) {
    sources.collection_pin = needed_collection(config, *registry);
    sources.collection_name = members_of(*registry, sources.collection_pin).name;
    const bool whole = all || std::ranges::any_of(names, [&](const std::string& text) {
                         return needs_whole_collection(kind_of_method(text), read_method_text(config, text).eval);
                       });
    OpenedCollection opened = open_collection(*registry, sources.collection_pin, base, keep, whole);
    sources.collection = std::move(opened.collection);
    sources.pins = std::move(opened.pins);
  }
  if (registry) sources.inventories = load_inventories(config, *registry, base.sites());
  sources.methods = read_methods(config, sources.collection, sources.inventories);
  for (Method& method : sources.methods)
    if (method.kind == MethodKind::target) method.targets = target_experts(*registry, base, tasks);
  if (registry) sources.prepared = prepared_for(config, *registry, base, sources, tasks);
  return sources;
}

uint64_t room_for_adapters(const JobContext& context) {
  constexpr uint64_t where_not_known = 1'000'000'000;
  const int64_t free = context.session.free_memory;
  return free < 0 ? where_not_known : static_cast<uint64_t>(free) / 8;
}

uint64_t bytes_of_experts(const JobContext& context, const EvalContext& scoring, const std::vector<Method>& methods) {
  uint64_t own = 0;
  for (const Method& method : methods) own += own_bytes(method, scoring);
  return bytes_of(scoring.collection) + std::min(own, room_for_adapters(context));
}

void check_examples(const EvalContext& context) {
  for (const TokenTask& task : context.tasks)
    if (task.examples(context.split).empty())
      user_error("task {}: no examples in split {}: give it some, or set eval.split", task.name, context.eval.split);
}

std::vector<PlanLine> source_lines(const EvalSources& sources, const Config& config) {
  std::vector<PlanLine> lines;
  const std::string names =
      fmt::format("{}: {}", plural(sources.collection.names.size(), "expert"), join(sources.collection.names, ", "));
  if (sources.collection_pin != sources.collection_name)
    lines.push_back({"collection", fmt::format("none is named (eval.collection, registry.collection): all of {}   {}",
                                               config.registry.path, names)});
  else if (!sources.collection_pin.empty())
    lines.push_back({"collection", fmt::format("{} of {}   {}", sources.collection_pin, config.registry.path, names)});
  std::set<std::string> said;
  for (const Method& method : sources.methods)
    if (method.inventory && said.insert(method.inventory->digest).second)
      lines.push_back(
          {method.inventory->routing_row.empty() ? "inventory" : "routing row", method.inventory->description()});
  return lines;
}

}  // namespace gaggle
