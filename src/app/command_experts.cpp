// gaggle experts: for each task LoRA, then gate, then commit; workers take items from the registry by lease.
#include "app/command.h"
#include "base/names.h"
#include "workflow/assumed_cost.h"
#include "workflow/experts.h"

namespace gaggle {
namespace {

Exit train_experts(const Config& config, const JobOptions& options) {
  if (asks_for_cost_alone(config, options)) return print(experts_cost_block(config));
  StartedJob start = start_job(
      config, options, load_inputs(config, config.data.tasks, config.data.limit_examples), BaseUse::training,
      [&](const Session& session) { check_expert_job(config, session); }, config.cluster.ranks_per_expert);
  if (start.stopped) return *start.stopped;
  const BaseModel& base = *start.base;
  const RecipeBase common{config.run.seed, base.sites(), base.content_digest(), base.dtype()};
  const ExpertSections sections{config.lora, config.train, config.gate, config.cluster.ranks_per_expert};
  const JobContext context{config, options, start.session, *start.base, start.gemm_flops};
  ExpertJob job{context, {}};
  for (const TokenTask& task : start.inputs.tasks) {
    check_name(task.name, "task");
    job.items.push_back({task.name, &task, expert_recipe(common, sections, task)});
  }
  return run_experts(std::move(job));
}

}  // namespace

Command experts_command() {
  return {
      "experts", "Train one expert (LoRA, then gate) per task into the registry",
      with_job_options([](const Config& config, const JobOptions& options) { return train_experts(config, options); }),
      "gaggle experts my.toml --dry-run\ngaggle experts my.toml --train.lr=1e-3\nmpirun -np 8 gaggle experts my.toml"};
}

}  // namespace gaggle
