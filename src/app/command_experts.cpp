// gaggle experts: for each task LoRA, then gate, then commit; workers take items from the registry by lease.
#include "app/expert_job.h"
#include "base/log.h"
#include "base/names.h"
#include "cluster/stop.h"
#include "model/speed.h"

namespace gaggle {

Exit command_experts(const Config& config, const CommandOptions& options) {
  const Inputs inputs = load_inputs(config, config.data.tasks, config.data.limit_rows);
  Session session = start_session(config, options.dry_run);
  if (const auto stop = options.dry_run ? std::nullopt : stop_requested()) {
    log::warning("{} asks to stop: remove it to go on", (session.run_dir / "STOP").string());
    return *stop;
  }
  const auto base = load_base(config, inputs, session.device);
  const RecipeBase common{config, base->sites(), base->content_digest(), base->dtype()};
  std::vector<ExpertItem> items;
  for (const TokenTask& task : inputs.tasks) {
    check_name(task.name, "task");
    items.push_back({task.name, &task, expert_recipe(common, task), "", "", ""});
  }
  look_up(items, config.registry.path, fingerprint_of(*base), options.accept_base);
  const double gemm = measure_gemm_flops(base->dtype(), session.device, session.threads);
  if (session.world->rank() == 0) {
    std::fputs(plan_text({config, session, *base, items, {}, gemm}).c_str(), stdout);
    if (options.dry_run)
      std::fputs(fmt::format("{} experts; nothing was started\n", items.size()).c_str(), stdout);
    std::fflush(stdout);
  }
  if (options.dry_run) return Exit::done;
  const Exit code = run_job({config, options, session, *base, items, gemm});
  end_session(session);
  return code;
}

}  // namespace gaggle
