// gaggle adapt: a pretrained skill inventory taken to new tasks; task × method × shots × seed by lease.
#include <algorithm>
#include <cstdio>

#include "app/adapt_commit.h"
#include "app/adapt_plan.h"
#include "app/adapt_table.h"
#include "app/adapt_worker.h"
#include "base/file.h"
#include "base/log.h"
#include "cluster/stop.h"
#include "job/machine.h"

namespace gaggle {
namespace {

// Throws UserError that begins with the key.
std::optional<Inventory> artefact(const Registry& registry, const BaseModel& base, const std::string& key,
                                  const std::string& name) {
  if (name.empty()) return std::nullopt;
  try {
    return inventory_of(load_routed(registry, name), base.sites());
  } catch (const UserError& error) {
    user_error("{} = \"{}\": {}", key, name, error.what());
  }
}

bool wants_shared(const Config& config) {
  return std::ranges::find(config.adapt.method, "shared") != config.adapt.method.end();
}

// What needs no work any more is what the registry serves: a version made by other settings may be current.
void make_done_current(const AdaptJob& job, Registry& registry) {
  for (const AdaptItem& item : job.items)
    if (item.recipe && adapt_item_done(job, registry, item))
      registry.make_current(item.name, *stored_version(registry, item), stored_kind(*item.recipe));
}

Exit run_adaptation(const AdaptJob& job) {
  const bool first = job.session.identity.rank == 0;
  Registry registry =
      Registry::open(job.config.registry.path, fingerprint_of(job.base), true, job.options.accept_base);
  if (first) {
    require_writable(job.folder / "items", "run.dir");
    make_done_current(job, registry);
  }
  job.session.world->barrier();
  const Exit code = work_on_adaptation(job, registry);
  if (code == Exit::done) return first ? conclude_adaptation(job) : code;
  if (first && code == Exit::stopped)
    log::warning("{} asks to stop: remove it to go on", (job.session.run_dir / "STOP").string());
  else
    log::info("stopped early, everything is saved: start again to go on");
  return code;
}

}  // namespace

Exit command_adapt(const Config& config, const CommandOptions& options) {
  const Split split = split_named(config.eval.split);
  const Inputs inputs = load_inputs(config, config.adapt.tasks.empty() ? config.data.tasks : config.adapt.tasks,
                                    config.data.limit_examples);
  Session session = start_session(config);  // nothing is written before all is checked
  check_writable(config.registry.path, "registry.path");
  check_writable(session.run_dir, "run.dir");
  if (const auto stop = options.dry_run ? std::nullopt : stopped_before_start(session, config)) return *stop;
  const auto base = load_base(config, inputs, session.device, BaseUse::training);
  const Registry registry = Registry::open(config.registry.path, fingerprint_of(*base), false);
  AdaptJob job{config,
               options,
               session,
               *base,
               *inputs.tokenizer,
               inputs.tasks,
               split,
               artefact(registry, *base, "adapt.from", config.adapt.from),
               wants_shared(config) || config.adapt.from.empty()
                   ? artefact(registry, *base, "adapt.shared_from", config.adapt.shared_from)
                   : std::nullopt,
               {},
               {},
               session.run_dir / "adapt",
               0};
  make_adapt_items(job);
  check_machines_alike(session, config.run.strict);
  job.gemm_flops = measure_together(session, base->dtype());
  estimate_adapt_items(job);
  const auto done = std::ranges::count_if(
      job.items, [&](const AdaptItem& item) { return adapt_item_done(job, registry, item); });
  if (session.identity.rank == 0) {
    std::fputs(adapt_plan_text(job, static_cast<size_t>(done)).c_str(), stdout);
    if (options.dry_run) std::fputs("nothing was started\n", stdout);
    std::fflush(stdout);
  }
  const Exit code = options.dry_run ? Exit::done : run_adaptation(job);
  end_session(session);
  return code;
}

}  // namespace gaggle
