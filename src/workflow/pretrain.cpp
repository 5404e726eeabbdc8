#include "workflow/pretrain.h"

#include "base/file.h"

namespace gaggle {
namespace {

void look_up(PretrainJob& job) {
  const fs::path folder = job.config().registry.path;
  if (!fs::exists(folder / "registry.json")) return;
  const Registry registry =
      Registry::open(folder, fingerprint_of(job.context.base), false, job.context.options.accept_base);
  if (const auto stored = registry.find_key(Kind::inventory, job.name, job.recipe.key))
    job.version = stored->version;
}

}  // namespace

Exit run_pretraining(PretrainJob pretraining) {
  look_up(pretraining);
  const Config& config = pretraining.config();
  const JobContext& context = pretraining.context;
  if (pretraining.version.empty()) {
    check_same_recipe(pretraining);
    check_alignment(pretraining);
  }
  std::optional<Registry> registry;
  if (!context.options.dry_run) {
    registry =
        Registry::open(config.registry.path, fingerprint_of(context.base), true, context.options.accept_base);
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
