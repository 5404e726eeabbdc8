#include "train/adapt.h"

#include <algorithm>

#include "base/error.h"
#include "base/philox.h"
#include "base/sha256.h"
#include "train/resume.h"
#include "train/skills.h"

namespace gaggle {
namespace {

bool routes(AdaptMethod method) {
  return method == AdaptMethod::full || method == AdaptMethod::z || method == AdaptMethod::random;
}

const Inventory& source_of(const AdaptSources& sources, AdaptMethod method) {
  const Inventory* source = sources.of(method);
  const bool shared = method == AdaptMethod::shared;
  const std::string name = method_name(method);
  if (!source && shared)
    user_error(
        "adapt.shared_from is not set: method shared starts from an artefact of poly.method = \"shared\"");
  if (!source)
    user_error(
        "adapt.from is not set: method {} starts from a routed artefact of the registry, NAME or NAME@version",
        name);
  const std::string pin = source->pin();
  if (shared && source->method != "shared")
    user_error("adapt.shared_from: {} was pretrained with poly.method = \"{}\"; method shared needs \"shared\"",
               pin, source->method);
  if (!shared && method != AdaptMethod::lora && source->spec.routing != Routing::learned)
    user_error("adapt.from: {} was pretrained with poly.method = \"{}\"; method {} needs \"poly\" or \"mhr\"",
               pin, source->method, name);
  if (method == AdaptMethod::lora && source->spec.skill == SkillKind::rescaling)
    user_error(
        "method lora takes the sites and the rank of adapt.from, and {} holds (IA)³'s vectors, "
        "which have no rank: the same from scratch is method random",
        pin);
  return *source;
}

PhaseSettings adapt_phase(const Config& config, AdaptMethod method, SkillKind skill, uint64_t seed,
                          int64_t rows) {
  const double lr = config.adapt.lr.value_or(config.train.lr.value_or(default_skills_lr(skill)));
  const double router_lr = config.adapt.router_lr.value_or(config.poly.router_lr);
  const bool only_row = method == AdaptMethod::z;
  PhaseSettings phase = training_phase(config, only_row ? router_lr : lr, rows);
  phase.name = method_name(method);
  phase.seed = seed;
  phase.schedule.steps = config.adapt.steps;
  phase.batch_size = config.adapt.batch_size;
  phase.validate_every = 0;
  phase.keep_best = false;
  phase.step.lanes = std::max<int64_t>(1, config.train.lanes);
  phase.step.tfew = config.adapt.loss == "tfew";
  if (routes(method) && !only_row) phase.step.optimizer.router_rate = router_lr / lr;
  return phase;
}

nlohmann::json adapt_json(const Config& config, const AdaptRecipe& recipe, const Inventory& source,
                          int64_t shots) {
  nlohmann::json json = {{"method", method_name(recipe.method)}, {"shots", shots}};
  if (recipe.method == AdaptMethod::lora) {
    json["init_std"] = recipe.init_std;
    return json;
  }
  if (recipe.method != AdaptMethod::random) json["from"] = source.digest;
  if (recipe.spec.skill == SkillKind::rescaling) json["adapter"] = "ia3";
  if (!routes(recipe.method)) return json;
  json["skills"] = recipe.spec.skills;
  json["heads"] = recipe.spec.heads;
  json["router_lr"] = recipe.phase.schedule.lr * recipe.phase.step.optimizer.router_rate;
  json["router_granularity"] = recipe.spec.granularity;
  json["sample"] = config.poly.sample;
  if (recipe.routing.sampling != Sampling::none) json["temperature"] = recipe.routing.temperature;
  return json;
}

// The skills of an inventory beside the rows of `fresh`, which has one task.
at::Tensor with_skills(const PolySpec& spec, const at::Tensor& fresh, const Inventory& source) {
  const ParameterLayout layout = poly_layout(spec), theirs = poly_layout(source.spec);
  at::Tensor values = fresh.clone();
  for (const ParameterInfo& tensor : layout.tensors())
    if (!is_router(tensor)) layout.view(values, tensor).copy_(theirs.view(source.values, tensor.name));
  return values;
}

}  // namespace

AdaptMethod adapt_method(const std::string& name, const std::string& mu) {
  if (name == "full") return AdaptMethod::full;
  if (name == "z") return AdaptMethod::z;
  if (name == "mu") return mu == "kept" ? AdaptMethod::mu_kept : AdaptMethod::mu_collapsed;
  if (name == "random") return AdaptMethod::random;
  if (name == "shared") return AdaptMethod::shared;
  GAGGLE_CHECK(name == "lora", "adapt.method {}", name);
  return AdaptMethod::lora;
}

std::string method_name(AdaptMethod method) {
  switch (method) {
    case AdaptMethod::full:
      return "full";
    case AdaptMethod::z:
      return "z";
    case AdaptMethod::mu_collapsed:
      return "mu";
    case AdaptMethod::mu_kept:
      return "mu-kept";
    case AdaptMethod::random:
      return "random";
    case AdaptMethod::shared:
      return "shared";
    case AdaptMethod::lora:
      return "lora";
  }
  return "";
}

const Inventory* AdaptSources::of(AdaptMethod method) const {
  if (method == AdaptMethod::shared) return shared;
  return method == AdaptMethod::lora && !from ? shared : from;
}

TokenTask few_shot(const TokenTask& task, int64_t shots, uint64_t seed) {
  const std::vector<TokenRow>& rows = task.rows(Split::train);
  const auto count = static_cast<int64_t>(rows.size());
  require_train(task);
  if (shots > count)
    user_error(
        "task {} has {} training rows, and adapt.shots asks for {}: give it more, or ask for fewer (0: all)",
        task.name, count, shots);
  std::vector<int64_t> chosen = random_permutation(random_key("shots", {seed, name_number(task.name)}), count);
  if (shots > 0) chosen.resize(static_cast<size_t>(shots));
  std::ranges::sort(chosen);
  TokenTask few;
  few.name = task.name;
  few.metric = task.metric;
  few.end_id = task.end_id;
  few.digest = task.digest;
  for (const int64_t row : chosen) few.splits[0].push_back(rows[static_cast<size_t>(row)]);
  return few;
}

bool AdaptRecipe::one_adapter() const {
  return method == AdaptMethod::mu_collapsed || method == AdaptMethod::shared || method == AdaptMethod::lora;
}

int64_t AdaptRecipe::trained() const {
  return (one_adapter() ? mixture_layout(spec) : trained_layout(spec)).size();
}

AdaptRecipe adapt_recipe(const RecipeBase& base, const AdaptSources& sources, const TokenTask& few,
                         AdaptMethod method, int64_t shots, uint64_t seed) {
  const Config& config = base.config;
  const Inventory& source = source_of(sources, method);
  AdaptRecipe recipe;
  recipe.method = method;
  recipe.seed = seed;
  recipe.spec = source.spec;
  recipe.spec.tasks = 1;
  recipe.spec.routing = routes(method) ? Routing::learned : Routing::uniform;
  recipe.spec.train_skills = method != AdaptMethod::z;
  recipe.init_std = config.lora.init_std;
  if (routes(method)) {
    recipe.routing.sampling = sampling_named(config.poly.sample);
    recipe.routing.temperature = config.poly.temperature;
    recipe.routing.seed = seed;
  }
  recipe.phase =
      adapt_phase(config, method, recipe.spec.skill, seed, static_cast<int64_t>(few.rows(Split::train).size()));
  recipe.json = {{"run", {{"seed", seed}}},
                 {"model", {{"content", base.content_digest}, {"dtype", dtype_text(base.dtype)}}},
                 {"data", {{"task", few.name}, {"rows", few.digest}}},
                 {"lora", {{"sites", sites_digest(recipe.spec.sites)}}},
                 {"adapt", adapt_json(config, recipe, source, shots)},
                 {"train", phase_json(recipe.phase)}};
  recipe.key = sha256_hex(recipe.json.dump());
  return recipe;
}

at::Tensor adapt_start(const AdaptRecipe& recipe, const AdaptSources& sources) {
  const Inventory& source = source_of(sources, recipe.method);
  if (recipe.method == AdaptMethod::lora) return initial_lora(recipe.spec.sites, recipe.seed, recipe.init_std);
  if (recipe.one_adapter()) return averaged_skills(source.spec, source.values);
  const at::Tensor fresh = initial_poly(recipe.spec, recipe.seed);
  return recipe.method == AdaptMethod::random ? fresh : with_skills(recipe.spec, fresh, source);
}

AdaptResult train_adapted(BaseModel& base, const TokenTask& few, const AdaptRecipe& recipe,
                          const AdaptSources& sources, Communicator& group, const LoopHooks& hooks,
                          const std::vector<std::filesystem::path>& folders) {
  const at::Tensor start = adapt_start(recipe, sources);
  const std::optional<Snapshot> from = newest_snapshot(folders, recipe.key);
  agree_on_snapshot(from, group);
  if (from) check_machine(*from, hooks, few.name, group.rank() == 0);
  const auto run = [&](Trainable& adapter) {
    return run_phase(recipe.phase, base, adapter, single_task(few, recipe.phase), group, hooks,
                     from ? &*from : nullptr, {})
        .stopped;
  };
  AdaptResult result;
  if (recipe.one_adapter() && recipe.spec.skill == SkillKind::low_rank) {
    LoraAdapter adapter(recipe.spec.sites, {start}, base.dtype(), base.device());
    result.stopped = run(adapter);
    result.values = adapter.values();
  } else {
    const auto adapter = make_skill_adapter(recipe.one_adapter() ? one_skill(recipe.spec) : recipe.spec, start,
                                            recipe.routing, base.dtype(), base.device());
    result.stopped = run(*adapter);
    result.values = adapter->all_values();
  }
  if (result.stopped) return {result.stopped, {}};
  result.values = result.values.to(at::kCPU, at::kFloat);
  return result;
}

at::Tensor adapted_mixture(const AdaptRecipe& recipe, const at::Tensor& values) {
  return recipe.one_adapter() ? values : mixed_adapter(recipe.spec, values, 0);
}

}  // namespace gaggle
