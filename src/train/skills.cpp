#include "train/skills.h"

#include <cmath>

#include "adapter/poly_peft.h"
#include "base/error.h"
#include "base/sha256.h"
#include "train/resume.h"

namespace gaggle {
namespace {

SkillKind skill_named(const std::string& adapter) {
  return adapter == "ia3" ? SkillKind::rescaling : SkillKind::low_rank;
}

RoutingSchedule routing_schedule(const Config& config, int64_t steps) {
  const PolyConfig& poly = config.poly;
  RoutingSchedule schedule;
  schedule.sampling = sampling_named(poly.sample);
  schedule.temperature = poly.temperature;
  schedule.seed = config.run.seed;
  if (poly.average_from > 0) schedule.average_from = poly.average_from;
  if (poly.average_last_steps > 0) {
    schedule.interpolate_from = std::max<int64_t>(0, steps - poly.average_last_steps);
    schedule.interpolate_to = steps;
  }
  return schedule;
}

PhaseSettings routed_phase(const Config& config, int64_t lanes, int64_t rows) {
  const double lr = config.train.lr.value_or(default_skills_lr(skill_named(config.poly.adapter)));
  PhaseSettings phase = training_phase(config, lr, rows);
  phase.name = config.poly.method;
  phase.step.lanes = lanes;
  phase.step.optimizer.router_rate = config.poly.router_lr / phase.schedule.lr;
  return phase;
}

nlohmann::json poly_json(const Config& config, const SkillsRecipe& recipe) {
  const PolyConfig& poly = config.poly;
  nlohmann::json json = {{"method", poly.method},
                         {"adapter", poly.adapter},
                         {"skills", recipe.spec.skills},
                         {"heads", recipe.spec.heads}};
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

at::Tensor start_values(const PolySpec& spec, const Config& config) {
  const std::string& from = config.poly.init_from;
  if (from.empty()) return initial_poly(spec, config.run.seed);
  return spec.skill == SkillKind::rescaling ? ia3_from_peft(read_peft_ia3(from), spec, from)
                                            : poly_from_peft(read_peft_poly(from), spec, from);
}

nlohmann::json data_json(const Config& config, const std::vector<TokenTask>& tasks) {
  nlohmann::json json = {{"sampling", config.data.sampling}};
  for (const TokenTask& task : tasks) {
    json["tasks"].push_back(task.name);  // in the order of the table's rows
    json["rows"][task.name] = task.digest;
  }
  if (config.data.sampling == "capped") json["sampling_cap"] = config.data.sampling_cap;
  if (config.data.sampling == "temperature") json["sampling_temperature"] = config.data.sampling_temperature;
  return json;
}

nlohmann::json by_name(const std::vector<const TokenTask*>& tasks, const std::vector<double>& losses) {
  nlohmann::json json = nlohmann::json::object();
  for (size_t t = 0; t < tasks.size(); ++t)
    if (!std::isnan(losses[t])) json[tasks[t]->name] = losses[t];
  return json;
}

}  // namespace

Sampling sampling_named(const std::string& name) {
  return name == "example" ? Sampling::example : name == "task" ? Sampling::task : Sampling::none;
}

PolySpec poly_spec(const Config& config, const std::vector<Site>& sites, int64_t tasks) {
  const PolyConfig& poly = config.poly;
  PolySpec spec;
  spec.skill = skill_named(poly.adapter);
  spec.sites = spec.skill == SkillKind::rescaling ? ia3_sites(sites, config.lora.targets)
                                                  : lora_sites(sites, config.lora.targets, poly.rank, 1);
  spec.tasks = tasks;
  spec.heads = poly.heads;
  spec.skills = poly.method == "shared" ? 1 : poly.method == "private" ? tasks : poly.skills;
  spec.routing = routing_of_method(poly.method);
  spec.granularity = poly.router_granularity;
  check_heads(spec.sites, spec.heads, spec.skill);
  return spec;
}

double default_skills_lr(SkillKind skill) {
  return skill == SkillKind::rescaling ? 3e-3 : 1e-3;
}

SkillsRecipe skills_recipe(const RecipeBase& base, const std::vector<TokenTask>& tasks, int64_t lanes) {
  const Config& config = base.config;
  int64_t rows = 0;
  for (const TokenTask& task : tasks) {
    require_train(task);
    rows += static_cast<int64_t>(task.rows(Split::train).size());
  }
  SkillsRecipe recipe;
  recipe.spec = poly_spec(config, base.sites, static_cast<int64_t>(tasks.size()));
  recipe.phase = routed_phase(config, lanes, rows);
  recipe.schedule = routing_schedule(config, recipe.phase.schedule.steps);
  recipe.mix = {config.data.sampling, config.data.sampling_cap, config.data.sampling_temperature};
  recipe.start = start_values(recipe.spec, config);
  recipe.json = {{"run", {{"seed", config.run.seed}}},
                 {"model", {{"content", base.content_digest}, {"dtype", dtype_text(base.dtype)}}},
                 {"data", data_json(config, tasks)},
                 {"lora", {{"sites", sites_digest(recipe.spec.sites)}}},
                 {"poly", poly_json(config, recipe)},
                 {"train", phase_json(recipe.phase)}};
  recipe.key = sha256_hex(recipe.json.dump());
  if (recipe.schedule.average_from >= 0) {
    nlohmann::json plain = recipe.json;
    plain["poly"].erase("average_from");
    recipe.plain_key = sha256_hex(plain.dump());
  }
  return recipe;
}

std::optional<Snapshot> skills_snapshot(const SkillsRecipe& recipe, Communicator& group, const LoopHooks& hooks,
                                        const std::filesystem::path& folder) {
  const auto newest = [&](const std::string& key, int64_t last_step) {
    return newest_snapshot({folder / key.substr(0, 16)}, key, last_step);
  };
  std::optional<Snapshot> from = newest(recipe.key, recipe.phase.schedule.steps);
  if (!recipe.plain_key.empty()) {
    std::optional<Snapshot> plain = newest(recipe.plain_key, recipe.schedule.average_from);
    if (plain && (!from || plain->step > from->step)) from = std::move(plain);
  }
  agree_on_snapshot(from, group);
  if (from) check_machine(*from, hooks, "this run", group.rank() == 0);
  return from;
}

SkillsResult train_skills(BaseModel& base, const std::vector<TokenTask>& tasks, const SkillsRecipe& recipe,
                          SkillAdapter& adapter, Communicator& group, const LoopHooks& hooks,
                          const std::filesystem::path& folder) {
  const TrainingData data = mixed_tasks(tasks, recipe.phase, recipe.mix);
  const auto validation = [&](SiteAdapter* with) {
    return mean_losses(base, with, data.tasks, Split::validation, recipe.phase.step.lanes,
                       recipe.phase.step.tokens_per_microbatch, group, hooks.stop);
  };
  const std::optional<Snapshot> from = skills_snapshot(recipe, group, hooks, folder);
  const PhaseResult done =
      run_phase(recipe.phase, base, adapter, data, group, hooks, from ? &*from : nullptr, {});
  SkillsResult result;
  if (done.stopped) {
    result.stopped = done.stopped;
    return result;
  }
  result.values = adapter.all_values().to(at::kCPU, at::kFloat);
  adapter.begin_evaluation();
  std::vector<double> before, after;
  try {
    before = validation(nullptr);
    after = validation(&adapter);
  } catch (const Interrupted& asked) {  // the checkpoint of the last step is there
    result.stopped = asked.code;
    return result;
  }
  result.metrics = {{"base_loss_by_task", by_name(data.tasks, before)},
                    {"validation_loss_by_task", by_name(data.tasks, after)}};
  if (!result.metrics["base_loss_by_task"].empty()) {
    result.metrics["base_loss"] = mean_of_tasks(before);
    result.metrics["validation_loss"] = mean_of_tasks(after);
  }
  if (done.best_step) result.metrics["best_step"] = *done.best_step;
  return result;
}

}  // namespace gaggle
