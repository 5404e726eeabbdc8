#include "workflow/adapt_commit.h"

#include "library/lora.h"
#include "library/routing_row.h"

namespace gaggle {
namespace {

Provenance provenance_of(const AdaptJob& job, const AdaptItem& item) {
  const AdaptRecipe& recipe = *item.recipe;
  Provenance made{job.context.base,
                  stored_dtype(job.config().registry.dtype),
                  recipe.key,
                  {{"origin", "adapted"},
                   {"task", job.tasks[item.task].name},
                   {"recipe", recipe.json},
                   {"data", job.tasks[item.task].digest},
                   {"metrics", {{"trained_values", recipe.trained()}}}}};
  if (recipe.has_parent()) made.about["parents"] = {job.sources().of(recipe.method)->pin()};
  return made;
}

// An inventory of one task; of one skill where the method's mixture is all that is kept.
Inventory adapted_inventory(const AdaptJob& job, const AdaptItem& item, const at::Tensor& values) {
  const AdaptRecipe& recipe = *item.recipe;
  const bool routes = recipe.spec.routing == Routing::learned;
  Inventory adapted;
  adapted.name = item.name;
  adapted.spec = routes ? recipe.spec : one_skill(recipe.spec);
  adapted.values = routes ? values : adapted_mixture(recipe, values);
  adapted.method = routes ? job.from->method : "shared";
  adapted.tasks = {job.tasks[item.task].name};
  return adapted;
}

}  // namespace

Kind stored_kind(const AdaptRecipe& recipe) {
  const AdaptStored stored = recipe.stored_as();
  return stored == AdaptStored::routing_row ? Kind::routing_row
         : stored == AdaptStored::inventory ? Kind::inventory
                                            : Kind::expert;
}

std::string commit_adapted(const AdaptJob& job, Registry& registry, const AdaptItem& item,
                           const AdaptedValues& adapted) {
  const AdaptRecipe& recipe = *item.recipe;
  const at::Tensor& values = adapted.values;
  Provenance made = provenance_of(job, item);
  made.about["metrics"].update(adapted.metrics);
  switch (stored_kind(recipe)) {
    case Kind::routing_row:
      return store_routing_row(
          registry, {item.name, "", "", job.tasks[item.task].name, job.from->pin(), row_logits(recipe.spec, values)},
          made);
    case Kind::inventory:
      return store_inventory(registry, adapted_inventory(job, item, values), made);
    default:
      return store_lora(registry, {recipe.spec.sites, adapted_mixture(recipe, values), {}, item.name, "", ""}, made);
  }
}

}  // namespace gaggle
