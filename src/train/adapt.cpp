#include "train/adapt.h"

#include <algorithm>

#include "base/error.h"
#include "base/philox.h"
#include "base/sha256.h"
#include "data/task.h"
#include "train/resume.h"
#include "train/skills.h"

namespace gaggle {
namespace {

const Inventory& source_of(const AdaptSources& sources, AdaptMethod method) {
  const AdaptStart start = info_of(method).start;
  const Inventory* source = sources.of(method);
  const bool shared = start == AdaptStart::shared_adapter;
  const std::string name = method_name(method);
  if (!source && shared)
    user_error("adapt.shared_from is not set: method shared starts from an inventory of poly.method = \"shared\"");
  if (!source)
    user_error("adapt.from is not set: method {} starts from an inventory of the registry, NAME or NAME@version", name);
  const std::string pin = source->pin();
  if (shared && source->method != "shared")
    user_error("adapt.shared_from: {} was pretrained with poly.method = \"{}\"; method shared needs \"shared\"", pin,
               source->method);
  if (start == AdaptStart::fresh_lora && source->spec.skill == SkillKind::rescaling)
    user_error(
        "method lora takes the sites and the rank of adapt.from, and {} holds (IA)³'s vectors, "
        "which have no rank: the same from scratch is method random",
        pin);
  if (!shared && start != AdaptStart::fresh_lora && source->spec.routing != Routing::learned)
    user_error("adapt.from: {} was pretrained with poly.method = \"{}\"; method {} needs \"poly\" or \"mhr\"", pin,
               source->method, name);
  return *source;
}

PhaseSettings adapt_phase(const AdaptSections& config, uint64_t run_seed, const AdaptRecipe& recipe,
                          const TokenTask& few) {
  const AdaptConfig& adapt = config.adapt;
  require_sum(config.train, "what is adapted");
  const double lr = adapt.lr.value_or(config.train.lr.value_or(default_skills_lr(recipe.spec.skill)));
  const double router_lr = adapt.router_lr.value_or(config.poly.router_lr);
  const bool only_routing_row = recipe.info().trains == AdaptTrains::routing_row;
  PhaseSettings phase = training_phase(config.train, run_seed, only_routing_row ? router_lr : lr,
                                       static_cast<int64_t>(few.examples(Split::train).size()));
  phase.name = method_name(recipe.method);
  phase.seed = recipe.seed;
  phase.schedule.steps = adapt.steps;
  phase.batch_size = adapt.batch_size;
  phase.validate_every = 0;
  phase.keep_best = false;
  phase.step.lanes = std::max<int64_t>(1, config.train.lanes);
  phase.step.tfew = adapt.loss == "tfew";
  if (recipe.trains_routing_row() && !only_routing_row) phase.step.optimizer.router_rate = router_lr / lr;
  return phase;
}

nlohmann::json adapt_json(const AdaptRecipe& recipe, const PolyConfig& poly, const std::string& source_digest,
                          int64_t shots) {
  nlohmann::json json = {{"method", method_name(recipe.method)}, {"shots", shots}};
  if (recipe.info().start == AdaptStart::fresh_lora) {
    json["init_std"] = recipe.init_std;
    return json;
  }
  if (recipe.has_parent()) json["from"] = source_digest;
  if (recipe.spec.skill == SkillKind::rescaling) json["adapter"] = "ia3";
  if (!recipe.trains_routing_row()) return json;
  json["skills"] = recipe.spec.skills;
  json["heads"] = recipe.spec.heads;
  json["router_lr"] = recipe.phase.schedule.lr * recipe.phase.step.optimizer.router_rate;
  json["router_granularity"] = name_of(recipe.spec.granularity);
  json["sample"] = poly.sample;
  if (recipe.routing.sampling != Sampling::none) json["temperature"] = recipe.routing.temperature;
  return json;
}

// The skills of an inventory beside the routing row of `fresh`, which has one task.
at::Tensor with_skills(const PolySpec& spec, const at::Tensor& fresh, const Inventory& source) {
  const ParameterLayout layout = poly_layout(spec), theirs = poly_layout(source.spec);
  at::Tensor values = fresh.clone();
  for (const ParameterInfo& tensor : layout.tensors())
    if (!is_router(tensor)) layout.view(values, tensor).copy_(theirs.view(source.values, tensor.name));
  return values;
}

}  // namespace

const AdaptMethodInfo& info_of(AdaptMethod method) {
  return *std::ranges::find(adapt_methods, method, &AdaptMethodInfo::method);
}

AdaptMethod adapt_method(const std::string& name, const std::string& mu) {
  const std::string full_name = name == "mu" && mu == "kept" ? "mu-kept" : name;
  const auto found =
      std::ranges::find_if(adapt_methods, [&](const AdaptMethodInfo& info) { return info.name == full_name; });
  GAGGLE_CHECK(found != std::end(adapt_methods), "adapt.method {}", name);
  return found->method;
}

std::string method_name(AdaptMethod method) { return info_of(method).name; }

const Inventory* AdaptSources::of(AdaptMethod method) const {
  const AdaptStart start = info_of(method).start;
  if (start == AdaptStart::shared_adapter) return shared;
  return start == AdaptStart::fresh_lora && !from ? shared : from;
}

TokenTask few_shot(const TokenTask& task, int64_t shots, uint64_t seed) {
  const std::vector<TokenExample>& examples = task.examples(Split::train);
  const auto count = static_cast<int64_t>(examples.size());
  require_train(task);
  if (shots > count)
    user_error(
        "task {} has {} training examples, and adapt.shots asks for {}: give it more, or ask for fewer (0: "
        "all)",
        task.name, count, shots);
  std::vector<int64_t> chosen = random_permutation(random_key("shots", {seed, name_number(task.name)}), count);
  if (shots > 0) chosen.resize(static_cast<size_t>(shots));
  std::ranges::sort(chosen);
  TokenTask few;
  few.name = task.name;
  few.metric = task.metric;
  few.end_id = task.end_id;
  few.digest = task.digest;
  for (const int64_t example : chosen) few.splits[0].push_back(examples[static_cast<size_t>(example)]);
  return few;
}

AdaptStored AdaptRecipe::stored_as() const {
  const AdaptStored stored = info().stored;
  const bool vectors = spec.skill == SkillKind::rescaling;
  return vectors && stored == AdaptStored::expert ? AdaptStored::inventory : stored;
}

int64_t AdaptRecipe::trained() const { return (one_adapter() ? mixture_layout(spec) : trained_layout(spec)).size(); }

AdaptRecipe adapt_recipe(const RecipeBase& base, const AdaptSections& config, const AdaptSources& sources,
                         const TokenTask& few, AdaptMethod method, int64_t shots, uint64_t seed) {
  const Inventory& source = source_of(sources, method);
  AdaptRecipe recipe;
  recipe.method = method;
  recipe.seed = seed;
  recipe.spec = source.spec;
  recipe.spec.tasks = 1;
  recipe.spec.routing = recipe.trains_routing_row() ? Routing::learned : Routing::uniform;
  recipe.spec.train_skills = recipe.info().trains != AdaptTrains::routing_row;
  recipe.init_std = config.lora.init_std;
  if (recipe.trains_routing_row()) recipe.routing = sampled_routing(config.poly, seed);
  recipe.phase = adapt_phase(config, base.seed, recipe, few);
  recipe.json = recipe_json(base, seed, task_json(few), recipe.spec.sites);
  recipe.json["adapt"] = adapt_json(recipe, config.poly, source.digest, shots);
  recipe.json["train"] = phase_json(recipe.phase);
  recipe.key = sha256_hex(recipe.json.dump());
  return recipe;
}

at::Tensor adapt_start(const AdaptRecipe& recipe, const AdaptSources& sources) {
  const Inventory& source = source_of(sources, recipe.method);
  switch (recipe.info().start) {
    case AdaptStart::fresh_lora:
      return initial_lora(recipe.spec.sites, recipe.seed, recipe.init_std);
    case AdaptStart::average:
    case AdaptStart::shared_adapter:
      return averaged_skills(source.spec, source.values);
    case AdaptStart::fresh_skills:
      return initial_poly(recipe.spec, recipe.seed);
    case AdaptStart::skills:
      break;
  }
  return with_skills(recipe.spec, initial_poly(recipe.spec, recipe.seed), source);
}

std::unique_ptr<Trainable> adapted_adapter(const BaseModel& base, const AdaptRecipe& recipe, const at::Tensor& start) {
  if (recipe.one_adapter() && recipe.spec.skill == SkillKind::low_rank)
    return std::make_unique<LoraAdapter>(recipe.spec.sites, std::vector{start}, base.dtype(), base.device());
  return make_skill_adapter(recipe.one_adapter() ? one_skill(recipe.spec) : recipe.spec, start, recipe.routing,
                            base.dtype(), base.device());
}

AdaptedValues train_adapted(BaseModel& base, const TokenTask& few, const AdaptRecipe& recipe,
                            const AdaptSources& sources, Communicator& group, const LoopHooks& hooks,
                            const std::vector<std::filesystem::path>& folders) {
  const at::Tensor start = adapt_start(recipe, sources);
  const TrainingRun run = begin_training(base, group, hooks, few.name, {{folders, recipe.key}});
  const auto adapter = adapted_adapter(base, recipe, start);
  AdaptedValues adapted;
  adapted.metrics = nlohmann::json::object();
  PhaseEnd end = run_phase(run, recipe.phase, *adapter, single_task(few, recipe.phase));
  end.best_step.reset();  // few shots have no validation examples
  end.note_in(adapted.metrics, recipe.phase.name);
  const auto* skills = dynamic_cast<SkillAdapter*>(adapter.get());
  adapted.values = (skills ? skills->all_values() : adapter->values()).to(at::kCPU, at::kFloat);
  return adapted;
}

at::Tensor adapted_mixture(const AdaptRecipe& recipe, const at::Tensor& values) {
  return recipe.one_adapter() ? values : mixed_adapter(recipe.spec, values, 0);
}

}  // namespace gaggle
