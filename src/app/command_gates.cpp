// gaggle gates: gates for experts that are in the registry already, imported ones included. Experts without
// data stay ungated and are named.
#include <map>

#include "app/expert_job.h"
#include "registry/version_files.h"

namespace gaggle {
Exit command_gates(const Config& config, const CommandOptions& options) {
  Inputs inputs = load_inputs(config, config.data.tasks, config.data.limit_rows);
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
    if (!registry.find(Kind::expert, expert))
      user_error("gate.tasks.{}: the registry has no expert of that name", expert);

  std::vector<ExpertItem> items;
  std::vector<std::string> ungated;
  for (const Version& expert : registry.list(Kind::expert)) {
    if (!expert.current) continue;
    const auto task = tasks.find(expert.name);
    if (task == tasks.end()) {
      if (!is_gated(expert)) ungated.push_back(expert.name);
      continue;
    }
    Lora lora = load_lora(registry, expert.name, base->sites());
    const std::string digest = values_digest(lora_layout(lora.sites), lora.values);
    items.push_back({expert.name, &task->second, gates_recipe(common, task->second, std::move(lora), digest),
                     expert.pin(), "", ""});
  }
  return plan_and_run({config, options, session, *base, std::move(items), std::move(ungated), 0});
}

}  // namespace gaggle
