#include "train/recipe.h"

#include <cmath>

#include "base/error.h"
#include "base/philox.h"
#include "base/sha256.h"
#include "formats/peft.h"

namespace gaggle {
namespace {

constexpr double default_lr = 5e-3;  // belongs to scale 1/16 (PHATGOOSE's recipe)

// Of experts, which one group of ranks trains.
PhaseSettings with_lanes(PhaseSettings phase, const Config& config) {
  phase.step.lanes =
      config.train.lanes > 0 ? config.train.lanes : default_lanes(config.cluster.ranks_per_expert);
  if (config.cluster.ranks_per_expert > phase.step.lanes)
    user_error("cluster.ranks_per_expert = {} ranks cannot share {} lanes: set train.lanes to {} or more",
               config.cluster.ranks_per_expert, phase.step.lanes, config.cluster.ranks_per_expert);
  return phase;
}

double lora_lr(const Config& config) {
  if (config.train.lr) return *config.train.lr;
  const double scale = config.lora.alpha / static_cast<double>(config.lora.rank);
  if (std::abs(scale * 16 - 1) > 1e-9)
    user_error(
        "train.lr: its default of 5e-3 belongs to lora.alpha / lora.rank = 1/16, here it is {:g}; "
        "set train.lr yourself",
        scale);
  return default_lr;
}

PhaseSettings lora_phase(const Config& config, const TokenTask& task) {
  PhaseSettings phase = with_lanes(
      training_phase(config, lora_lr(config), static_cast<int64_t>(task.rows(Split::train).size())), config);
  phase.phase = 0;
  phase.name = "lora";
  return phase;
}

PhaseSettings gate_phase(const Config& config) {
  PhaseSettings phase = with_lanes(training_phase(config, config.gate.lr.value_or(default_lr), 1), config);
  phase.phase = 1;
  phase.name = "gate";
  phase.schedule.warmup = config.gate.warmup;
  phase.schedule.steps = config.gate.steps;
  if (config.gate.batch_size > 0) phase.batch_size = config.gate.batch_size;
  phase.step.optimizer = {};
  phase.step.label_smoothing = 0;
  phase.step.dropout.seed = random_key("gates", {config.run.seed});
  phase.validate_every = 0;
  phase.keep_best = false;
  return phase;
}

void check_task(const Config& config, const TokenTask& task) {
  if (task.rows(Split::train).empty())
    user_error("task {} has no training rows: rows need \"split\": \"train\", or no split at all", task.name);
  if (config.train.keep == "best" && task.rows(Split::validation).empty())
    user_error("train.keep = \"best\" needs validation rows, and task {} has none", task.name);
  if (config.train.keep == "best" && config.train.validate_every == 0)
    user_error("train.keep = \"best\" needs train.validate_every: how many steps lie between two looks");
}

nlohmann::json common_json(const RecipeBase& base, const TokenTask& task, std::span<const LoraSite> sites) {
  return {{"run", {{"seed", base.config.run.seed}}},
          {"model", {{"content", base.content_digest}, {"dtype", dtype_text(base.dtype)}}},
          {"data", {{"task", task.name}, {"rows", task.digest}}},
          {"lora", {{"sites", sites_digest(sites)}}}};
}

void flatten(const nlohmann::json& json, const std::string& prefix,
             std::map<std::string, std::string>& leaves) {
  for (const auto& [key, value] : json.items()) {
    const std::string name = prefix.empty() ? key : prefix + "." + key;
    if (value.is_object())
      flatten(value, name, leaves);
    else
      leaves[name] = value.is_string() ? value.get<std::string>() : value.dump();
  }
}

// Digests are not for reading.
std::string shown(const std::string& value) {
  return value.size() == 64 ? value.substr(0, 8) + "…" : value;
}

}  // namespace

PhaseSettings training_phase(const Config& config, double lr, int64_t rows) {
  const TrainConfig& train = config.train;
  PhaseSettings phase;
  phase.seed = config.run.seed;
  phase.schedule = {lr, train.warmup, train.schedule == "linear", train.steps};
  if (train.steps == 0)
    phase.schedule.steps = std::max<int64_t>(
        1, static_cast<int64_t>(std::ceil(
               train.epochs * static_cast<double>(rows) / static_cast<double>(train.batch_size) - 1e-9)));
  phase.batch_size = train.batch_size;
  phase.step.tokens_per_microbatch = train.tokens_per_microbatch;
  phase.step.loss_average = train.loss_average;
  phase.step.clip = train.clip;
  phase.step.label_smoothing = train.label_smoothing;
  phase.step.dropout = {train.dropout, config.run.seed};
  phase.step.optimizer.kind = train.optimizer;
  phase.step.optimizer.adafactor.scale_parameter = train.scale_parameter;
  phase.step.optimizer.weight_decay = train.weight_decay;
  phase.validate_every = train.validate_every;
  phase.keep_best = train.keep == "best";
  return phase;
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
                         {"loss_average", phase.step.loss_average},
                         {"keep", phase.keep_best ? "best" : "last"}};
  if (phase.keep_best) json["validate_every"] = phase.validate_every;
  // Settings that came later stand here only where they are used: they change no older key.
  if (phase.step.label_smoothing > 0) json["label_smoothing"] = phase.step.label_smoothing;
  if (phase.step.dropout.p > 0) json["dropout"] = phase.step.dropout.p;
  if (phase.step.tfew) json["loss"] = "tfew";
  const OptimizerSettings& optimizer = phase.step.optimizer;
  if (optimizer.kind != "adamw") {
    json["optimizer"] = optimizer.kind;
    json["scale_parameter"] = optimizer.adafactor.scale_parameter;
  }
  return json;
}

std::string dtype_text(at::ScalarType dtype) {
  return dtype == at::kBFloat16 ? "bf16" : "fp32";
}

std::string sites_digest(std::span<const LoraSite> sites) {
  nlohmann::json list = nlohmann::json::object();
  for (const LoraSite& s : sites) list[s.site.name] = {s.rank, s.scale};
  return sha256_hex(list.dump());
}

Recipe expert_recipe(const RecipeBase& base, const TokenTask& task) {
  const Config& config = base.config;
  check_task(config, task);
  Recipe recipe;
  recipe.seed = config.run.seed;
  recipe.init_std = config.lora.init_std;
  nlohmann::json lora = {{"alpha", config.lora.alpha}, {"rank", config.lora.rank}};
  if (config.lora.init_from.empty()) {
    recipe.sites = lora_sites(base.sites, config.lora.targets, config.lora.rank, config.lora.alpha);
    lora["init_std"] = config.lora.init_std;
  } else {
    LoraStart start = lora_from_peft(read_peft_lora(config.lora.init_from), base.sites, config.lora.init_from);
    recipe.sites = std::move(start.sites);
    recipe.start = start.values;
    lora["init_from"] = values_digest(lora_layout(recipe.sites), recipe.start);
  }
  recipe.lora = lora_phase(config, task);
  recipe.gate = gate_phase(config);
  recipe.json = common_json(base, task, recipe.sites);
  recipe.json["lora"].update(lora);
  recipe.json["train"] = phase_json(recipe.lora);
  if (recipe.gate.schedule.steps > 0) recipe.json["gate"] = phase_json(recipe.gate);
  recipe.key = sha256_hex(recipe.json.dump());
  return recipe;
}

Recipe gates_recipe(const RecipeBase& base, const TokenTask& task, LoraStart lora,
                    const std::string& lora_digest) {
  if (task.rows(Split::train).empty()) user_error("task {} has no training rows", task.name);
  Recipe recipe;
  recipe.seed = base.config.run.seed;
  recipe.sites = std::move(lora.sites);
  recipe.start = lora.values;
  recipe.train_lora = false;
  recipe.gate = gate_phase(base.config);
  if (recipe.gate.schedule.steps == 0) user_error("gate.steps = 0: there is nothing to train");
  recipe.json = common_json(base, task, recipe.sites);
  recipe.json["lora"]["tensors"] = lora_digest;
  recipe.json["gate"] = phase_json(recipe.gate);
  recipe.key = sha256_hex(recipe.json.dump());
  return recipe;
}

std::string difference_text(const nlohmann::json& before, const nlohmann::json& now) {
  std::map<std::string, std::string> old_leaves, new_leaves;
  flatten(before, "", old_leaves);
  flatten(now, "", new_leaves);
  std::map<std::string, std::string> names = old_leaves;
  names.insert(new_leaves.begin(), new_leaves.end());
  std::vector<std::string> differences;
  for (const auto& entry : names) {
    const auto old_value = old_leaves.find(entry.first), new_value = new_leaves.find(entry.first);
    const std::string from = old_value == old_leaves.end() ? "none" : shown(old_value->second);
    const std::string to = new_value == new_leaves.end() ? "none" : shown(new_value->second);
    if (from != to) differences.push_back(fmt::format("{} {} → {}", entry.first, from, to));
  }
  std::string text;
  for (size_t i = 0; i < differences.size() && i < 3; ++i) text += (i ? ", " : "") + differences[i];
  if (differences.size() > 3) text += fmt::format(" and {} more", differences.size() - 3);
  return text;
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
         static_cast<double>(std::max<size_t>(1, task.rows(Split::train).size()));
}

}  // namespace gaggle
