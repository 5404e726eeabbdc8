#include "train/recipe.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/names.h"
#include "base/philox.h"
#include "base/sha256.h"
#include "base/terminal.h"
#include "data/task.h"

namespace gaggle {
namespace {

constexpr double default_lr = 5e-3;  // PHATGOOSE's, with its alpha of 1

// Lanes of an expert, which one group of ranks trains.
int64_t expert_lanes(int64_t lanes, int64_t ranks) {
  if (lanes == 0) lanes = default_lanes(ranks);
  if (ranks > lanes)
    user_error("cluster.ranks_per_expert = {} ranks cannot share {} lanes: set train.lanes to {} or more", ranks, lanes,
               ranks);
  return lanes;
}

double lora_lr(const TrainConfig& train, const LoraConfig& lora) {
  if (train.lr) return *train.lr;
  if (!lora.has_default_lr())
    user_error("train.lr: its default of 5e-3 belongs to lora.alpha = 1, here it is {:g}; set train.lr yourself",
               lora.alpha);
  return default_lr;
}

PhaseSettings lora_settings(const ExpertSections& config, uint64_t seed, const TokenTask& task) {
  PhaseSettings phase = training_phase(config.train, seed, lora_lr(config.train, config.lora),
                                       static_cast<int64_t>(task.examples(Split::train).size()));
  phase.step.lanes = expert_lanes(config.train.lanes, config.ranks_per_expert);
  phase.phase = 0;
  phase.name = "lora";
  return phase;
}

PhaseSettings gate_settings(const ExpertSections& config, uint64_t seed) {
  const GateConfig& gate = config.gate;
  PhaseSettings phase = training_phase(config.train, seed, gate.lr.value_or(default_lr), 1);
  phase.step.lanes = expert_lanes(config.train.lanes, config.ranks_per_expert);
  phase.phase = 1;
  phase.name = "gate";
  phase.schedule.warmup = gate.warmup;
  phase.schedule.steps = gate.steps;
  if (gate.batch_size > 0) phase.batch_size = gate.batch_size;
  phase.step.optimizer = {};
  phase.step.label_smoothing = 0;
  phase.step.dropout.seed = random_key("gates", {seed});
  phase.validate_every = 0;
  phase.keep_best = false;
  return phase;
}

void add_gates(Recipe& recipe, const ExpertSections& config, uint64_t seed) {
  recipe.gate = gate_settings(config, seed);
  recipe.gate_bias = config.gate.bias;
}

nlohmann::json gate_json(const Recipe& recipe) {
  nlohmann::json json = phase_json(recipe.gate);
  if (recipe.gate_bias != 0) json["bias"] = recipe.gate_bias;  // it came later, as some in phase_json
  return json;
}

void check_task(const TrainConfig& train, const TokenTask& task) {
  require_train(task);
  require_sum(train, "an expert");
  if (train.keep == "best" && task.examples(Split::validation).empty())
    user_error("train.keep = \"best\" needs validation examples, and task {} has none", task.name);
  if (train.keep == "best" && train.validate_every == 0)
    user_error("train.keep = \"best\" needs train.validate_every: how many steps lie between two looks");
}

// A setting's value in a flattened JSON object. Digests are cut: they are not for reading.
std::string shown(const nlohmann::json& settings, const std::string& name) {
  if (!settings.contains(name) || settings[name].is_null()) return "none";
  const nlohmann::json& value = settings[name];
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  return text.size() == 64 ? text.substr(0, 8) + "…" : gaggle::shown(text);
}

}  // namespace

PhaseSettings training_phase(const TrainConfig& train, uint64_t seed, double lr, int64_t examples) {
  PhaseSettings phase;
  phase.seed = seed;
  phase.schedule = {lr, train.warmup, train.schedule == "linear", train.steps};
  if (train.steps == 0)
    phase.schedule.steps = std::max<int64_t>(
        1, static_cast<int64_t>(
               std::ceil(train.epochs * static_cast<double>(examples) / static_cast<double>(train.batch_size) - 1e-9)));
  phase.batch_size = train.batch_size;
  phase.step.tokens_per_microbatch = train.tokens_per_microbatch;
  phase.step.loss_average = loss_average_named(train.loss_average);
  phase.step.clip = train.clip;
  phase.step.label_smoothing = train.label_smoothing;
  phase.step.dropout = {train.dropout, seed};
  phase.step.optimizer.kind = optimizer_named(train.optimizer);
  phase.step.optimizer.adafactor.scale_parameter = train.scale_parameter;
  phase.step.optimizer.weight_decay = train.weight_decay;
  phase.validate_every = train.validate_every;
  phase.keep_best = train.keep == "best";
  return phase;
}

void require_sum(const TrainConfig& train, const std::string& what) {
  if (train.combine != "sum")
    user_error(
        "train.combine = \"{}\" joins the gradients of tasks that are trained together, as gaggle pretrain does; {} is "
        "trained on one task: leave it out, or give --train.combine=sum",
        train.combine, what);
}

nlohmann::json phase_json(const PhaseSettings& phase) {
  nlohmann::json json = {{"steps", phase.schedule.steps},
                         {"batch_size", phase.batch_size},
                         {"lr", phase.schedule.lr},
                         {"warmup", phase.schedule.warmup},
                         {"schedule", phase.schedule.linear ? "linear" : "constant"},
                         {"clip", phase.step.clip},
                         {"weight_decay", phase.step.optimizer.weight_decay},
                         {"tokens_per_microbatch", phase.step.tokens_per_microbatch},
                         {"lanes", phase.step.lanes},
                         {"loss_average", name_of(phase.step.loss_average)},
                         {"keep", phase.keep_best ? "best" : "last"}};
  if (phase.keep_best) json["validate_every"] = phase.validate_every;
  // Settings that came later stand here only where they are used: they change no older key.
  if (phase.step.label_smoothing > 0) json["label_smoothing"] = phase.step.label_smoothing;
  if (phase.step.dropout.p > 0) json["dropout"] = phase.step.dropout.p;
  if (phase.step.tfew) json["loss"] = "tfew";
  if (phase.step.combine.how != Combine::sum) json["combine"] = name_of(phase.step.combine.how);
  const OptimizerSettings& optimizer = phase.step.optimizer;
  if (optimizer.kind != OptimizerKind::adamw) {
    json["optimizer"] = name_of(optimizer.kind);
    json["scale_parameter"] = optimizer.adafactor.scale_parameter;
  }
  return json;
}

std::string dtype_text(at::ScalarType dtype) { return dtype == at::kBFloat16 ? "bf16" : "fp32"; }

std::string sites_digest(std::span<const LoraSite> sites) {
  nlohmann::json list = nlohmann::json::object();
  for (const LoraSite& s : sites) list[s.site.name] = {s.rank, s.scale};
  return sha256_hex(list.dump());
}

nlohmann::json recipe_json(const RecipeBase& base, uint64_t seed, nlohmann::json data,
                           std::span<const LoraSite> sites) {
  return {{"run", {{"seed", seed}}},
          {"model", {{"content", base.content_digest}, {"dtype", dtype_text(base.dtype)}}},
          {"data", std::move(data)},
          {"lora", {{"sites", sites_digest(sites)}}}};
}

nlohmann::json task_json(const TokenTask& task) { return {{"task", task.name}, {"rows", task.digest}}; }

Recipe expert_recipe(const RecipeBase& base, const ExpertSections& config, const TokenTask& task) {
  const LoraConfig& lora = config.lora;
  check_task(config.train, task);
  Recipe recipe;
  recipe.seed = base.seed;
  recipe.init_std = lora.init_std;
  recipe.lora = lora_settings(config, base.seed, task);
  add_gates(recipe, config, base.seed);
  if (lora.init_from.empty()) {
    recipe.sites = lora_sites(base.sites, lora.targets, lora.rank, lora.alpha);
  } else {
    Lora start = read_lora(lora.init_from, base.sites);
    recipe.sites = std::move(start.sites);
    recipe.start = start.values;
  }
  recipe.json = recipe_json(base, recipe.seed, task_json(task), recipe.sites);
  recipe.json["lora"]["alpha"] = lora.alpha;
  recipe.json["lora"]["rank"] = lora.rank;
  if (recipe.start.defined())
    recipe.json["lora"]["init_from"] = values_digest(lora_layout(recipe.sites), recipe.start);
  else
    recipe.json["lora"]["init_std"] = lora.init_std;
  recipe.json["train"] = phase_json(recipe.lora);
  if (recipe.gate.schedule.steps > 0) recipe.json["gate"] = gate_json(recipe);
  recipe.key = sha256_hex(recipe.json.dump());
  return recipe;
}

Recipe gates_recipe(const RecipeBase& base, const ExpertSections& config, const TokenTask& task, Lora lora,
                    const std::string& lora_digest) {
  require_train(task);
  require_sum(config.train, "a gate");
  Recipe recipe;
  recipe.seed = base.seed;
  recipe.sites = std::move(lora.sites);
  recipe.start = lora.values;
  recipe.train_lora = false;
  add_gates(recipe, config, base.seed);
  if (recipe.gate.schedule.steps == 0) user_error("gate.steps = 0: there is nothing to train");
  recipe.json = recipe_json(base, recipe.seed, task_json(task), recipe.sites);
  recipe.json["lora"]["tensors"] = lora_digest;
  recipe.json["gate"] = gate_json(recipe);
  recipe.key = sha256_hex(recipe.json.dump());
  return recipe;
}

std::string difference_text(const nlohmann::json& before, const nlohmann::json& now) {
  const nlohmann::json old_settings = before.flatten(), new_settings = now.flatten();  // by "/train/lr"
  nlohmann::json all = old_settings;
  all.update(new_settings);
  std::vector<std::string> differences;
  for (const auto& [path, value] : all.items()) {
    const std::string from = shown(old_settings, path), to = shown(new_settings, path);
    if (from == to) continue;
    std::string name = path.substr(std::min<size_t>(1, path.size()));
    std::ranges::replace(name, '/', '.');
    differences.push_back(fmt::format("{} {} → {}", name, from, to));
  }
  const size_t count = differences.size(), most = 3;
  if (count <= most) return join(differences, ", ");
  differences.resize(most);
  return fmt::format("{} and {} more", join(differences, ", "), count - most);
}

std::string values_digest(const ParameterLayout& layout, const at::Tensor& values) {
  Sha256 digest;
  for (const ParameterInfo& tensor : layout.tensors()) {
    digest.update(tensor.name);
    const at::Tensor part = layout.view(values, tensor).contiguous();
    digest.update({static_cast<const std::byte*>(part.const_data_ptr()), part.nbytes()});
  }
  return digest.hex();
}

double epochs_of(const PhaseSettings& phase, const TokenTask& task) {
  return static_cast<double>(phase.schedule.steps * phase.batch_size) /
         static_cast<double>(std::max<size_t>(1, task.examples(Split::train).size()));
}

}  // namespace gaggle
