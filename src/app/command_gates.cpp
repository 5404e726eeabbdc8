// gaggle gates: gates for experts that are in the registry already, imported ones included. Experts without
// data stay ungated and are named.
#include <map>

#include "app/expert_job.h"

namespace gaggle {
namespace {

LoraStart start_of(const Expert& expert, const std::vector<Site>& sites) {
  PeftLora lora;
  for (const SiteLora& s : expert.sites)
    lora.sites.push_back(
        {s.site, s.rank, s.scale, s.a, s.b, s.rank > 0 ? s.shape_a[1] : 0, s.rank > 0 ? s.shape_b[0] : 0});
  return lora_from_peft(lora, sites, expert.name);
}

}  // namespace

Exit command_gates(const Config& config, const CommandOptions& options) {
  Inputs inputs = load_inputs(config, config.data.tasks, config.data.limit_examples);
  std::map<std::string, TokenTask> tasks;  // by expert
  for (TokenTask& task : inputs.tasks) {
    const std::string name = task.name;
    tasks[name] = std::move(task);
  }
  for (const auto& [expert, path] : config.gate.tasks) tasks[expert] = load_one_task(config, inputs, path);

  Session session = start_session(config);
  check_job(config, session);
  if (const auto stop = options.dry_run ? std::nullopt : stopped_before_start(session, config)) return *stop;
  const auto base = load_base(config, inputs, session.device, BaseUse::training);
  const RecipeBase common{config, base->sites(), base->content_digest(), base->dtype()};
  const Registry registry =
      Registry::open(config.registry.path, fingerprint_of(*base), false, options.accept_base);
  for (const auto& [expert, path] : config.gate.tasks)
    if (!registry.find(expert)) user_error("gate.tasks.{}: the registry has no expert of that name", expert);

  std::vector<ExpertItem> items;
  std::vector<std::string> ungated;
  for (const ExpertInfo& info : registry.list()) {
    if (!info.current) continue;
    const auto task = tasks.find(info.name);
    if (task == tasks.end()) {
      if (!info.gated) ungated.push_back(info.name);
      continue;
    }
    LoraStart start = start_of(registry.load(info.name), base->sites());
    const std::string digest = values_digest(lora_layout(start.sites), start.values);
    items.push_back({info.name, &task->second, gates_recipe(common, task->second, std::move(start), digest),
                     info.name + "@" + info.version, "", ""});
  }
  return plan_and_run({config, options, session, *base, std::move(items), std::move(ungated), 0});
}

}  // namespace gaggle
