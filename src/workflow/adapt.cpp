#include "workflow/adapt.h"

#include <algorithm>

#include "base/file.h"
#include "library/collection.h"
#include "workflow/adapt_commit.h"

namespace gaggle {
namespace {

// Throws UserError that begins with the key.
std::optional<Inventory> inventory_named(const Registry& registry, const BaseModel& base, const std::string& key,
                                         const std::string& name) {
  if (name.empty()) return std::nullopt;
  try {
    Inventory inventory = load_inventory(registry, name, base.sites());
    if (!inventory.not_finite.empty()) throw NotFinite(inventory.not_finite);
    return inventory;
  } catch (const UserError& error) {
    user_error("{} = \"{}\": {}", key, name, error.what());
  }
}

void load_inventories(AdaptJob& job, const Registry& registry) {
  const AdaptConfig& adapt = job.config().adapt;
  const BaseModel& base = job.context.base;
  job.from = inventory_named(registry, base, "adapt.from", adapt.from);
  const bool wants_shared = std::ranges::find(adapt.method, "shared") != adapt.method.end();
  if (wants_shared || adapt.from.empty())
    job.shared = inventory_named(registry, base, "adapt.shared_from", adapt.shared_from);
}

// Its result, if there is one, and in the registry what it speaks of.
std::optional<std::string> result_of(const AdaptJob& job, const Registry& registry, const AdaptItem& item) {
  if (!fs::exists(result_path(job.folder(), item.key))) return std::nullopt;
  if (!item.recipe) return "";
  return stored_version(registry, stored_kind(*item.recipe), item.name, item.recipe->key);
}

const AdaptItem& item_of(const AdaptJob& job, const WorkItem& work) {
  return *std::ranges::find(job.items, work.key, &AdaptItem::key);
}

}  // namespace

Exit run_adaptation(AdaptJob adapt) {
  const JobContext& context = adapt.context;
  Registry registry = open_registry(context, /*create=*/false);
  load_inventories(adapt, registry);
  list_adapt_items(adapt);
  if (!context.options.dry_run) {
    registry = open_registry(context, /*create=*/true);
    if (context.session.world->rank() == 0) require_writable(adapt.folder() / "items", "run.dir");
    context.session.world->barrier();
  }
  Job job{.kind = "adaptation", .thing = "item", .folder = adapt.folder()};
  job.wait = true;  // the tables are of all items
  const RoutedCollection no_experts = routed_collection({}, context.base);
  const EvalContext scoring = scoring_of(adapt, no_experts);
  for (const AdaptItem& item : adapt.items) {
    job.items.push_back({item.key, item.name});
    job.work.push_back(adapt_work(adapt, item, scoring));
  }
  job.try_out = [&](size_t item, double flops) { return adapt_rate(adapt, adapt.items[item], scoring, flops); };
  job.result = [&](const WorkItem& work) { return result_of(adapt, registry, item_of(adapt, work)); };
  job.run = [&](size_t item, Attempt& attempt) {
    return adapt_item(adapt, adapt.items[item], scoring, registry, attempt);
  };
  job.serve = [&](const WorkItem& work, const std::string& version) {
    const AdaptItem& item = item_of(adapt, work);
    if (item.recipe) registry.make_current(stored_kind(*item.recipe), item.name, version);
  };
  job.closing_page = [&](const JobEnd&) { return adapt_closing_page(adapt); };
  return plan_and_run(context, job, adapt_plan(adapt));
}

}  // namespace gaggle
