#include "workflow/pretrain.h"

#include "alignment/alignment_watch.h"

namespace gaggle {
namespace {

void look_up(PretrainJob& job) {
  const std::optional<Registry> registry = existing_registry(job.context);
  if (!registry) return;
  if (const auto stored = registry->find_key(Kind::inventory, job.name, job.recipe.key))
    job.version = stored->version;
}

}  // namespace

Exit run_pretraining(PretrainJob pretraining) {
  look_up(pretraining);
  const Config& config = pretraining.config();
  const JobContext& context = pretraining.context;
  if (pretraining.version.empty()) {
    check_same_recipe(pretraining);
    if (config.alignment.every > 0)
      check_alignment(config.alignment, pretraining.tasks, pretraining.recipe.spec.sites);
  }
  std::optional<Registry> registry;
  if (!context.options.dry_run) {
    registry = open_registry(context, /*create=*/true);
    if (pretraining.version.empty())
      make_run_folder(context.session, config);
    else if (context.session.world->rank() == 0)
      registry->make_current(Kind::inventory, pretraining.name, pretraining.version);
  }
  Job job{.kind = "pretraining", .thing = "inventory", .folder = context.session.run_dir};
  job.ranks_per_item = context.session.world->size();
  job.outlives_ranks = false;
  job.items = {{pretraining.recipe.key, pretraining.name, pretrain_seconds(pretraining)}};
  job.result = [&](const WorkItem& item) -> std::optional<std::string> {
    if (!pretraining.version.empty()) return pretraining.version;
    const auto stored = registry ? registry->find_key(Kind::inventory, item.name, item.key) : std::nullopt;
    return stored ? std::optional(stored->version) : std::nullopt;
  };
  job.run = [&](size_t, Attempt& attempt) { return pretrain(pretraining, *registry, attempt); };
  job.closing_block = [&](const JobEnd&) { return pretrain_closing_block(pretraining, *registry); };
  return plan_and_run(context, job, pretrain_plan(pretraining));
}

}  // namespace gaggle
