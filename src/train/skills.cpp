#include "train/skills.h"

#include "base/error.h"
#include "base/sha256.h"
#include "data/task.h"
#include "library/inventory.h"
#include "train/resume.h"

namespace gaggle {
namespace {

SkillKind skill_named(const std::string& adapter) {
  return adapter == "ia3" ? SkillKind::rescaling : SkillKind::low_rank;
}

RoutingSchedule routing_schedule(const PolyConfig& poly, uint64_t seed, int64_t steps) {
  RoutingSchedule schedule = sampled_routing(poly, seed);
  if (poly.average_from > 0) schedule.average_from = poly.average_from;
  if (poly.average_last_steps > 0) {
    schedule.interpolate_from = std::max<int64_t>(0, steps - poly.average_last_steps);
    schedule.interpolate_to = steps;
  }
  return schedule;
}

PhaseSettings skills_phase(const PolyConfig& poly, const TrainConfig& train, uint64_t seed, int64_t lanes,
                           const std::vector<TokenTask>& tasks) {
  int64_t examples = 0;
  for (const TokenTask& task : tasks) examples += static_cast<int64_t>(task.examples(Split::train).size());
  const double lr = train.lr.value_or(default_skills_lr(skill_named(poly.adapter)));
  PhaseSettings phase = training_phase(train, seed, lr, examples);
  phase.name = poly.method;
  phase.step.lanes = lanes;
  phase.step.optimizer.router_rate = poly.router_lr / phase.schedule.lr;
  const auto count = static_cast<int64_t>(tasks.size());
  phase.step.combine = {combine_named(train.combine), seed, std::min(count, train.batch_size)};
  if (phase.step.combine.how != Combine::sum && count < 2)
    user_error("train.combine = \"{}\" joins the gradients of several tasks, and data.tasks has one, {}: leave it out",
               train.combine, tasks[0].name);
  return phase;
}

nlohmann::json poly_json(const PolyConfig& poly, const SkillsRecipe& recipe) {
  nlohmann::json json = {
      {"method", poly.method}, {"adapter", poly.adapter}, {"skills", recipe.spec.skills}, {"heads", recipe.spec.heads}};
  if (recipe.spec.skill == SkillKind::low_rank) json["rank"] = poly.rank;
  if (!poly.init_from.empty()) json["init_from"] = values_digest(poly_layout(recipe.spec), recipe.start);
  if (recipe.spec.routing != Routing::learned) return json;
  json["router_lr"] = poly.router_lr;
  json["router_granularity"] = poly.router_granularity;
  json["sample"] = poly.sample;
  if (poly.sample != "none") json["temperature"] = poly.temperature;
  if (poly.average_last_steps > 0) json["average_last_steps"] = poly.average_last_steps;
  if (poly.average_from > 0) json["average_from"] = poly.average_from;
  return json;
}

at::Tensor start_values(const PolySpec& spec, const std::string& init_from, uint64_t seed) {
  if (init_from.empty()) return initial_poly(spec, seed);
  return read_inventory_values(init_from, spec);
}

nlohmann::json mix_json(const MixSettings& mix, const std::vector<TokenTask>& tasks) {
  nlohmann::json json = {{"sampling", mix.sampling}};
  for (const TokenTask& task : tasks) {
    json["tasks"].push_back(task.name);  // in the order of the routing table
    json["rows"][task.name] = task.digest;
  }
  if (mix.sampling == "capped") json["sampling_cap"] = mix.cap;
  if (mix.sampling == "temperature") json["sampling_temperature"] = mix.temperature;
  return json;
}

nlohmann::json by_name(const std::vector<const TokenTask*>& tasks, const std::vector<double>& losses) {
  nlohmann::json json = nlohmann::json::object();
  for (size_t t = 0; t < tasks.size(); ++t)
    if (!tasks[t]->examples(Split::validation).empty()) json[tasks[t]->name] = losses[t];
  return json;
}

}  // namespace

RoutingSchedule sampled_routing(const PolyConfig& poly, uint64_t seed) {
  RoutingSchedule schedule;
  schedule.sampling = poly.sample == "example" ? Sampling::example
                      : poly.sample == "task"  ? Sampling::task
                                               : Sampling::none;
  schedule.temperature = poly.temperature;
  schedule.seed = seed;
  return schedule;
}

PolySpec poly_spec(const PolyConfig& poly, const std::vector<std::string>& targets, const std::vector<Site>& sites,
                   int64_t tasks) {
  PolySpec spec;
  spec.skill = skill_named(poly.adapter);
  spec.sites =
      spec.skill == SkillKind::rescaling ? ia3_sites(sites, targets) : lora_sites(sites, targets, poly.rank, 1);
  spec.tasks = tasks;
  spec.heads = poly.heads;
  spec.skills = poly.method == "shared" ? 1 : poly.method == "private" ? tasks : poly.skills;
  spec.routing = routing_of_method(poly.method);
  spec.granularity = granularity_named(poly.router_granularity);
  check_heads(spec.sites, spec.heads, spec.skill);
  return spec;
}

double default_skills_lr(SkillKind skill) { return skill == SkillKind::rescaling ? 3e-3 : 1e-3; }

SkillsRecipe skills_recipe(const RecipeBase& base, const SkillsSections& config, const std::vector<TokenTask>& tasks,
                           int64_t lanes) {
  for (const TokenTask& task : tasks) require_train(task);
  SkillsRecipe recipe;
  recipe.spec = poly_spec(config.poly, config.lora.targets, base.sites, static_cast<int64_t>(tasks.size()));
  recipe.phase = skills_phase(config.poly, config.train, base.seed, lanes, tasks);
  recipe.schedule = routing_schedule(config.poly, base.seed, recipe.phase.schedule.steps);
  recipe.mix = {config.data.sampling, config.data.sampling_cap, config.data.sampling_temperature};
  recipe.start = start_values(recipe.spec, config.poly.init_from, base.seed);
  recipe.json = recipe_json(base, base.seed, mix_json(recipe.mix, tasks), recipe.spec.sites);
  recipe.json["poly"] = poly_json(config.poly, recipe);
  recipe.json["train"] = phase_json(recipe.phase);
  recipe.key = sha256_hex(recipe.json.dump());
  if (recipe.schedule.average_from >= 0) {
    nlohmann::json plain = recipe.json;
    plain["poly"].erase("average_from");
    recipe.plain_key = sha256_hex(plain.dump());
  }
  return recipe;
}

std::filesystem::path checkpoints_of_key(const std::filesystem::path& folder, const std::string& key) {
  return folder / key.substr(0, 16);
}

SkillsResult train_skills(BaseModel& base, const std::vector<TokenTask>& tasks, const SkillsRecipe& recipe,
                          SkillAdapter& adapter, Communicator& group, const LoopHooks& hooks,
                          const std::filesystem::path& folder) {
  const auto source = [&](const std::string& key, int64_t last_step) {
    return CheckpointSource{{checkpoints_of_key(folder, key)}, key, last_step};
  };
  std::vector<CheckpointSource> sources = {source(recipe.key, recipe.phase.schedule.steps)};
  if (!recipe.plain_key.empty()) sources.push_back(source(recipe.plain_key, recipe.schedule.average_from));
  const TrainingRun run = begin_training(base, group, hooks, "this run", sources);

  const TrainingData data = mixed_tasks(tasks, recipe.phase, recipe.mix);
  const PhaseEnd end = run_phase(run, recipe.phase, adapter, data);
  SkillsResult result{adapter.all_values().to(at::kCPU, at::kFloat), {}};
  adapter.begin_evaluation();
  const auto before = validation_losses(run, nullptr, data.tasks, recipe.phase.step);
  const auto after = validation_losses(run, &adapter, data.tasks, recipe.phase.step);
  result.metrics = {{"base_loss_by_task", by_name(data.tasks, before)},
                    {"validation_loss_by_task", by_name(data.tasks, after)}};
  if (!result.metrics["base_loss_by_task"].empty()) {
    result.metrics["base_loss"] = mean_of_tasks(before);
    result.metrics["validation_loss"] = mean_of_tasks(after);
  }
  end.note_in(result.metrics, recipe.phase.name);
  return result;
}

}  // namespace gaggle
