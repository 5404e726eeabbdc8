#include "workflow/pretrain.h"

#include "alignment/alignment_watch.h"

namespace gaggle {

Exit run_pretraining(PretrainJob pretraining) {
  pretraining.version =
      stored_version(existing_registry(pretraining.context), Kind::inventory, pretraining.name, pretraining.recipe.key)
          .value_or("");
  const Config& config = pretraining.config();
  const JobContext& context = pretraining.context;
  if (pretraining.version.empty()) {
    check_same_recipe(pretraining);
    if (config.alignment.every > 0) check_alignment(config.alignment, pretraining.tasks, pretraining.recipe.spec.sites);
  }
  const JobPlan plan = pretrain_plan(pretraining);
  if (pretraining.version.empty()) check_memory_by_task(pretraining, plan.memory);
  std::optional<Registry> registry;
  if (!context.options.dry_run) {
    registry = open_registry(context, /*create=*/true);
    if (pretraining.version.empty()) make_run_folder(context.session, config);
  }
  Job job{.kind = "pretraining", .thing = "inventory", .folder = context.session.run_dir};
  job.ranks_per_item = context.session.world->size();
  job.outlives_ranks = false;
  job.items = {{pretraining.recipe.key, pretraining.name}};
  job.work = {pretrain_work(pretraining)};
  job.try_out = [&](size_t, double flops) { return pretrain_rate(pretraining, flops); };
  job.result = [&](const WorkItem& item) -> std::optional<std::string> {
    if (!pretraining.version.empty()) return pretraining.version;
    return stored_version(registry, Kind::inventory, item.name, item.key);
  };
  job.run = [&](size_t, Attempt& attempt) { return pretrain(pretraining, *registry, attempt); };
  job.serve = [&](const WorkItem& item, const std::string& version) {
    registry->make_current(Kind::inventory, item.name, version);
  };
  job.closing_page = [&](const JobEnd&) { return pretrain_closing_page(pretraining, *registry); };
  return plan_and_run(context, job, plan);
}

}  // namespace gaggle
