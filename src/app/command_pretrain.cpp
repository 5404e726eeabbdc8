// gaggle pretrain: Poly / MHR skills (LoRA or (IA)³) over many tasks, all ranks together.
#include "app/command.h"
#include "base/file.h"
#include "workflow/assumed_cost.h"
#include "workflow/pretrain.h"

namespace gaggle {
namespace {

Exit pretrain_skills(const Config& config, const JobOptions& options) {
  if (asks_for_cost_alone(config, options)) return print(pretrain_cost_block(config));
  int64_t lanes = 1;
  StartedJob start = start_job(
      config, options, load_inputs(config, config.data.tasks, config.data.limit_examples), BaseUse::training,
      [&](const Session& session) {
        check_writable(config.registry.path, "registry.path");
        lanes = resolve_lanes(config, session);
      },
      /*together=*/0);
  if (start.stopped) return *start.stopped;
  const BaseModel& base = *start.base;
  const RecipeBase common{config.run.seed, base.sites(), base.content_digest(), base.dtype()};
  const JobContext context{config, options, start.session, *start.base, start.gemm_flops};
  return run_pretraining(
      {context, start.inputs.tasks, config.run.full_name(),
       skills_recipe(common, {config.data, config.lora, config.train, config.poly}, start.inputs.tasks, lanes)});
}

}  // namespace

Command pretrain_command() {
  return {"pretrain", "Train Poly or MHR skills over all tasks together", with_job_options(pretrain_skills),
          "mpirun -np 4 gaggle pretrain my.toml --poly.skills=16"};
}

}  // namespace gaggle
