// gaggle experts: for each task LoRA, then gate, then commit; workers take items from the registry by lease.
#include <cstdio>

#include "app/cost.h"
#include "app/expert_job.h"
#include "base/names.h"

namespace gaggle {

Exit command_experts(const Config& config, const CommandOptions& options) {
  if (asks_for_cost_alone(config, options)) {
    std::fputs(experts_cost_text(config).c_str(), stdout);
    return Exit::done;
  }
  const Inputs inputs = load_inputs(config, config.data.tasks, config.data.limit_examples);
  Session session = start_session(config);
  check_job(config, session);
  if (const auto stop = options.dry_run ? std::nullopt : stopped_before_start(session, config)) return *stop;
  const auto base = load_base(config, inputs, session.device, BaseUse::training);
  const RecipeBase common{config, base->sites(), base->content_digest(), base->dtype()};
  std::vector<ExpertItem> items;
  for (const TokenTask& task : inputs.tasks) {
    check_name(task.name, "task");
    items.push_back({task.name, &task, expert_recipe(common, task), "", "", ""});
  }
  return plan_and_run({config, options, session, *base, std::move(items), {}, 0});
}

}  // namespace gaggle
