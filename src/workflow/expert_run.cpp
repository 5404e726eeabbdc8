// One attempt at an expert.
#include <nlohmann/json.hpp>

#include "adapter/gate.h"
#include "alignment/expert_sketch.h"
#include "base/names.h"
#include "job/cost.h"
#include "job/training.h"
#include "library/lora.h"
#include "registry/version_files.h"
#include "train/expert.h"
#include "train/short_steps.h"
#include "workflow/experts.h"

namespace gaggle {
namespace {

PhaseCosts phase_costs(const Recipe& recipe) {
  PhaseCosts costs;
  if (recipe.train_lora) costs.emplace_back(recipe.lora.name, examples_seen(recipe.lora));
  costs.emplace_back(recipe.gate.name, examples_seen(recipe.gate));
  return costs;
}

// Validation at the ends of both phases, which is done whatever train.validate_every says.
std::vector<ItemReport::Outcome> outcomes_of(const Recipe& recipe, const ExpertResult& result) {
  std::vector<ItemReport::Outcome> all;
  const auto add = [&](const PhaseSettings& phase, int64_t step, const char* metric) {
    const auto found = result.metrics.find(metric);
    if (found != result.metrics.end() && found->is_number())
      all.push_back({phase.name + "/validation_loss", step, *found});
  };
  if (recipe.train_lora) {
    add(recipe.lora, 0, "base_loss");
    add(recipe.lora, recipe.lora.schedule.steps, "validation_loss");
  }
  add(recipe.gate, 0, "half_open_loss");
  add(recipe.gate, recipe.gate.schedule.steps, "gated_loss");
  return all;
}

// "v0001, validation loss 0.558 (base 6.42)".
std::string committed_text(const std::string& version, const nlohmann::json& metrics) {
  const auto is_number = [&](const char* key) { return metrics.contains(key) && metrics[key].is_number(); };
  if (!is_number("validation_loss") || !is_number("base_loss")) return version;
  return fmt::format("{}, validation loss {:.3f} (base {:.2f})", version, metrics["validation_loss"].get<double>(),
                     metrics["base_loss"].get<double>());
}

// Returns the version. Nothing that is written differs between two runs of one recipe.
std::string commit_expert(const ExpertJob& job, Registry& registry, const ExpertItem& item,
                          const ExpertResult& result) {
  Lora expert;
  expert.name = item.name;
  expert.sites = item.recipe.sites;
  expert.values = result.lora;
  if (result.gate.defined()) {
    expert.gates = gates_by_site(expert.sites, result.gate);
    expert.gate_bias = item.recipe.gate_bias;
  }
  Provenance made{job.context.base,
                  stored_dtype(job.config().registry.dtype),
                  item.recipe.key,
                  {{"task", item.task->name},
                   {"recipe", item.recipe.json},
                   {"data", item.task->digest},
                   {"metrics", result.metrics}}};
  if (!item.task->category.empty()) made.about[category_key] = item.task->category;
  if (item.parent.empty()) return store_lora(registry, expert, made);
  made.about["parents"] = {item.parent};
  return store_gates(registry, item.parent, expert, made);
}

// Those of a pack that are not in the registry, as the group's first rank sees it: all, unless a commit was cut short or
// others failed.
std::vector<const ExpertItem*> still_to_train(const ExpertJob& job, const ExpertPack& pack, const Registry& registry,
                                              Communicator& group) {
  std::vector<uint8_t> open;
  for (const size_t member : pack.members) {
    const ExpertItem& item = job.items[member];
    open.push_back(registry.find_key(Kind::expert, item.name, item.recipe.key) ? 0 : 1);
  }
  group.broadcast(std::as_writable_bytes(std::span(open)), 0);
  std::vector<const ExpertItem*> items;
  for (size_t i = 0; i < open.size(); ++i)
    if (open[i] != 0) items.push_back(&job.items[pack.members[i]]);
  return items;
}

// A word on all. Throws NotFinite for those that failed, once the others are stored.
std::string commit_all(const ExpertJob& job, Registry& registry, const std::vector<const ExpertItem*>& items,
                       const std::vector<ExpertResult>& results) {
  std::vector<std::string> words, failures;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!results[i].failure.empty()) {
      failures.push_back(titled(items[i]->name, results[i].failure));
      continue;
    }
    const std::string word = committed_text(commit_expert(job, registry, *items[i], results[i]), results[i].metrics);
    words.push_back(items.size() > 1 ? items[i]->name + " " + word : word);
  }
  if (!failures.empty()) throw NotFinite(join(failures, "; "));
  return join(words, "; ");
}

}  // namespace

double expert_rate(const ExpertJob& job, const ExpertPack& pack, double flops) {
  BaseModel& base = job.context.base;
  double all = 0;
  std::vector<std::unique_ptr<Trainable>> adapters;
  std::vector<PhaseMember> together;
  for (const size_t member : pack.members) {
    const ExpertItem& item = job.items[member];
    const Recipe& recipe = item.recipe;
    const PhaseSettings& phase = recipe.train_lora ? recipe.lora : recipe.gate;
    const at::Tensor start = start_of(recipe);
    if (recipe.train_lora)
      adapters.push_back(std::make_unique<LoraAdapter>(recipe.sites, std::vector{start}, base.dtype(), base.device()));
    else
      adapters.push_back(
          std::make_unique<GateAdapter>(recipe.sites, start, base.dtype(), base.device(), recipe.gate_bias));
    all += epochs_of(phase, *item.task) * training_flops(base, item.task->examples(Split::train));
    together.push_back({phase, *adapters.back(), single_task(*item.task, phase)});
  }
  return all / phase_seconds(base, together, flops / all);
}

Commit train_experts(const ExpertJob& job, const ExpertPack& pack, Registry& registry, Attempt& attempt) {
  const std::vector<const ExpertItem*> items = still_to_train(job, pack, registry, attempt.group);
  std::vector<std::string> names;
  for (const ExpertItem* item : items) names.push_back(item->name);
  TrainingAttempt training(job.context, attempt, attempt.folder, pack.key, phase_costs(items[0]->recipe), names);
  // A sketch is one rank's own pass: of a base that ranks share there are none.
  for (const ExpertItem* item : items)
    if (attempt.report && !job.context.base.shards())
      leave_sketch(start_sketches(job.context.base, registry.folder(), job.config().alignment, job.config().run.seed),
                   *item->task, item->recipe);
  std::vector<ExpertResult> results;
  if (pack.members.size() == 1) {
    results.push_back(train_expert(job.context.base, *items[0]->task, items[0]->recipe, attempt.group, training.hooks,
                                   attempt.earlier));
  } else {
    std::vector<PackedExpert> packed;
    for (const ExpertItem* item : items) packed.push_back({*item->task, item->recipe});
    results = train_pack(job.context.base, packed, pack.key, attempt.group, training.hooks, attempt.earlier);
  }
  training.wait();
  if (attempt.report)
    for (size_t i = 0; i < items.size(); ++i) attempt.report->outcomes(outcomes_of(items[i]->recipe, results[i]), i);
  return [&job, &registry, items, results] { return commit_all(job, registry, items, results); };
}

}  // namespace gaggle
