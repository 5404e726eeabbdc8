// gaggle pretrain: Poly / MHR skills (LoRA or (IA)³) over many tasks, all ranks together; ends as routed/NAME
// in the registry.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "adapter/inventory.h"
#include "alignment/routing_record.h"
#include "app/alignment_watch.h"
#include "app/cost.h"
#include "app/expert_commit.h"
#include "app/pretrain_job.h"
#include "app/pretrain_report.h"
#include "app/routing_sites.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/names.h"
#include "base/pulse.h"
#include "cluster/stop.h"
#include "coordinator/lease.h"
#include "job/machine.h"

namespace gaggle {
namespace {

// Two jobs in one run folder would write over each other's checkpoints: the first rank holds a lease on it.
std::unique_ptr<Lease> hold_run(const PretrainJob& job, LeaseTable& leases) {
  const std::string& key = job.recipe.key;
  while (true) {
    if (auto lease = leases.try_take(key)) return lease;
    if (leases.seen_alive(key) || stop_requested())
      user_error("{} is being trained by {}: wait for it, or set run.variant", job.session.run_dir.string(),
                 leases.holder(key).value_or("somebody who has just left"));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    pulse();
  }
}

void look_up(PretrainJob& job) {
  const fs::path folder = job.config.registry.path;
  if (!fs::exists(folder / "registry.json")) return;
  const Registry registry = Registry::open(folder, fingerprint_of(job.base), false, job.options.accept_base);
  if (const auto there = find_routed_key(registry, job.name, job.recipe.key)) job.version = there->version;
}

std::string commit(const PretrainJob& job, const Registry& registry, const RoutedResult& result) {
  Inventory inventory{job.recipe.spec, result.values, job.name, "", "", job.config.poly.method, {}};
  nlohmann::json data = nlohmann::json::object();
  for (const TokenTask& task : job.tasks) {
    inventory.tasks.push_back(task.name);
    data[task.name] = task.digest;
  }
  const nlohmann::json about = {
      {"base", base_json(job.base)}, {"recipe", job.recipe.json}, {"data", data}, {"metrics", result.metrics}};
  NewRouted routed = new_routed(inventory, job.base.sites(), peft_base(job.base.spec()), about,
                                stored_dtype(job.config.registry.dtype));
  routed.key = job.recipe.key;
  return commit_routed(registry, routed);
}

AlignmentPlan alignment_plan(const PretrainJob& job) {
  return {job.config.alignment, job.tasks, job.recipe.phase.batch_size, job.config.run.seed,
          job.session.run_dir / "alignment"};
}

RoutedResult train(const PretrainJob& job, PretrainReport* report) {
  Communicator& world = *job.session.world;
  const RoutedRecipe& recipe = job.recipe;
  const auto adapter =
      make_skill_adapter(recipe.spec, recipe.start, recipe.schedule, job.base.dtype(), job.base.device());
  std::optional<AlignmentWatch> watch;
  if (job.config.alignment.every > 0) watch.emplace(alignment_plan(job), *adapter, world);
  const fs::path checkpoints = checkpoints_of(job.session.run_dir);
  const auto look_at_routing = [&](int64_t step) {
    return record_routing(job.session.run_dir, step, routing_sites(recipe.spec, adapter->all_values()));
  };
  LoopHooks hooks;
  std::optional<SnapshotWriter> writer;
  if (report) {
    writer.emplace(checkpoints / recipe.key.substr(0, 16), recipe.key, job.config.checkpoint.keep);
    hooks.snapshots = &*writer;
    hooks.on_step = [&](const StepReport& step) {
      const bool look = has_routing_table(recipe.spec) && (step.validation_loss || step.step == step.steps);
      report->step(step, look ? look_at_routing(step.step) : std::vector<RoutingNumbers>());
    };
    hooks.stop = [] { return stop_requested(); };
  }
  hooks.checkpoint_every = job.config.checkpoint.every;
  hooks.compare_every = job.config.comm.compare_every;
  hooks.checkpoint_at_end = true;
  hooks.machine = machine_of(job.session);
  hooks.strict = job.config.run.strict;
  hooks.on_start = [&](int64_t step) {
    if (report && has_routing_table(recipe.spec)) {
      truncate_routing(job.session.run_dir, step > 0 ? step : -1);
      if (step == 0) look_at_routing(0);
    }
    if (watch) watch->resume(step);
  };
  if (watch) {
    hooks.before_step = [&](int64_t step, std::span<const Sample> batch) { watch->before_step(step, batch); };
    hooks.after_step = [&](const StepReport& step) { watch->after_step(step); };
    hooks.on_checkpoint = [&] { watch->save(); };
  }
  RoutedResult result = train_routed(job.base, job.tasks, recipe, *adapter, world, hooks, checkpoints);
  if (writer) writer->wait();
  if (watch && report) report->alignment(watch->measurements(), watch->seconds(), watch->step_seconds());
  return result;
}

Exit run_job(const PretrainJob& job) {
  const bool first = job.session.world->rank() == 0;
  Registry registry =
      Registry::open(job.config.registry.path, fingerprint_of(job.base), true, job.options.accept_base);
  if (!job.version.empty()) {
    if (first) registry.make_current(job.name, job.version, Kind::routed);
    if (first) std::fputs(closing_text(job, registry, job.version).c_str(), stdout);
    return Exit::done;
  }
  make_run_folder(job.session, job.config);
  std::optional<LeaseTable> leases;
  std::unique_ptr<Lease> lease;
  std::optional<PretrainReport> report;
  if (first) {
    leases.emplace(job.session.run_dir, job.session.identity.worker_name(), job.config.cluster.lease_s);
    lease = hold_run(job, *leases);
    keep_lanes(job);
    keep_recipe(job);
    report.emplace(job);
  }
  const RoutedResult result = train(job, report ? &*report : nullptr);
  if (result.stopped) {
    if (first) log::info("stopped early, everything is saved: start again to go on");
    return *result.stopped;
  }
  if (!first) return Exit::done;
  const std::string version = commit(job, registry, result);
  report->finish(version);
  std::fputs(closing_text(job, registry, version).c_str(), stdout);
  return Exit::done;
}

}  // namespace

Exit command_pretrain(const Config& config, const CommandOptions& options) {
  if (asks_for_cost_alone(config, options)) {
    std::fputs(pretrain_cost_text(config).c_str(), stdout);
    return Exit::done;
  }
  const Inputs inputs = load_inputs(config, config.data.tasks, config.data.limit_examples);
  Session session = start_session(config);
  check_writable(config.registry.path, "registry.path");
  check_writable(session.run_dir, "run.dir");
  const int64_t lanes = resolve_lanes(config, session);
  if (const auto stop = options.dry_run ? std::nullopt : stopped_before_start(session, config)) return *stop;
  const auto base = load_base(config, inputs, session.device, BaseUse::training);
  const RecipeBase common{config, base->sites(), base->content_digest(), base->dtype()};
  PretrainJob job{config,
                  options,
                  session,
                  *base,
                  inputs.tasks,
                  config.run.full_name(),
                  routed_recipe(common, inputs.tasks, lanes),
                  "",
                  0};
  look_up(job);
  if (job.version.empty()) check_same_recipe(job);
  check_machines_alike(session, config.run.strict);
  job.gemm_flops = measure_together(session, base->dtype());
  if (session.world->rank() == 0) {
    std::fputs(plan_text(job).c_str(), stdout);
    if (options.dry_run) std::fputs("\nnothing was started\n", stdout);
    std::fflush(stdout);
  }
  const Exit code = options.dry_run ? Exit::done : run_job(job);
  end_session(session);
  return code;
}

}  // namespace gaggle
