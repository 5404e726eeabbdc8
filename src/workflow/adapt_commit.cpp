#include "workflow/adapt_commit.h"

#include <nlohmann/json.hpp>

#include "workflow/expert_commit.h"
#include "formats/peft.h"
#include "registry/rows.h"

namespace gaggle {
namespace {

nlohmann::json about_adapted(const AdaptJob& job, const AdaptItem& item) {
  const AdaptRecipe& recipe = *item.recipe;
  nlohmann::json about = {{"task", job.tasks[item.task].name},
                          {"base", base_json(job.context.base)},
                          {"recipe", recipe.json},
                          {"data", job.tasks[item.task].digest},
                          {"metrics", {{"trained_values", recipe.trained()}}}};
  if (recipe.has_parent())
    about["parents"] = {job.sources().of(recipe.method)->pin()};
  return about;
}

std::vector<NamedTensor> row_tensors(const PolySpec& spec, const at::Tensor& values) {
  const ParameterLayout layout = poly_layout(spec);
  std::vector<NamedTensor> tensors;
  for (const ParameterInfo& info : layout.tensors()) {
    if (!is_router(info)) continue;
    const at::Tensor row = layout.view(values, info).contiguous();
    tensors.push_back(from_float(info.name, info.shape,
                                 {row.const_data_ptr<float>(), static_cast<size_t>(row.numel())}, DType::f32));
  }
  return tensors;
}

}  // namespace

Kind stored_kind(const AdaptRecipe& recipe) {
  const AdaptStored stored = recipe.stored_as();
  return stored == AdaptStored::routing_row ? Kind::row
         : stored == AdaptStored::inventory ? Kind::routed
                                            : Kind::expert;
}

std::optional<std::string> stored_version(const Registry& registry, const AdaptItem& item) {
  const auto version = [](const auto& info) {
    return info ? std::optional<std::string>(info->version) : std::nullopt;
  };
  const std::string& key = item.recipe->key;
  switch (stored_kind(*item.recipe)) {
    case Kind::row:
      return version(find_row_key(registry, item.name, key));
    case Kind::routed:
      return version(find_routed_key(registry, item.name, key));
    default:
      return version(registry.find_key(item.name, key));
  }
}

std::string commit_adapted(const AdaptJob& job, Registry& registry, const AdaptItem& item,
                           const at::Tensor& values) {
  const AdaptRecipe& recipe = *item.recipe;
  const nlohmann::json about = about_adapted(job, item);
  const DType dtype = stored_dtype(job.config().registry.dtype);
  const PeftBase base = peft_base(job.context.base.spec());
  if (stored_kind(recipe) == Kind::row)
    return commit_row(registry,
                      {item.name, job.from->pin(), row_tensors(recipe.spec, values), about.dump(), recipe.key});
  if (stored_kind(recipe) == Kind::routed) {
    const bool routes = recipe.spec.routing == Routing::learned;
    const Inventory adapted{routes ? recipe.spec : one_skill(recipe.spec),
                            routes ? values : adapted_mixture(recipe, values),
                            item.name,
                            "",
                            "",
                            routes ? job.from->method : "shared",
                            {job.tasks[item.task].name}};
    NewRouted routed = new_routed(adapted, job.context.base.sites(), base, about, dtype);
    routed.key = recipe.key;
    return commit_routed(registry, routed);
  }
  const PeftLora lora = lora_to_peft(recipe.spec.sites, adapted_mixture(recipe, values), base);
  return registry.commit({item.name,
                          peft_config_json(lora, site_names(job.context.base.sites())),
                          peft_tensors(lora, dtype),
                          {},
                          about.dump(),
                          recipe.key});
}

}  // namespace gaggle
