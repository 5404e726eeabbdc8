// One attempt at a run of pretraining.
#include <cmath>
#include <nlohmann/json.hpp>

#include "alignment/alignment_watch.h"
#include "alignment/routing_record.h"
#include "alignment/routing_table.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/table.h"
#include "job/training.h"
#include "library/inventory.h"
#include "train/short_steps.h"
#include "workflow/pretrain.h"

namespace gaggle {
namespace {

// Losses and weights of each task, what the weights cost, and what the routing table looked like after the step, by kind
// of site.
Metrics metrics_of(const PretrainJob& job, const StepReport& step, std::span<const RoutingNumbers> routing) {
  Metrics values;
  const auto by_task = [&](const std::string& kind, const std::vector<double>& losses) {
    for (size_t t = 0; t < losses.size(); ++t)
      if (!std::isnan(losses[t])) values.emplace_back(kind + "/" + job.tasks[t].name, losses[t]);
  };
  by_task("loss", step.by_task);
  by_task("weight", step.weights_by_task);
  if (!step.weights_by_task.empty()) values.emplace_back("combine_seconds", step.combine_seconds);
  by_task("validation_loss", step.validation_by_task);
  for (const RoutingNumbers& numbers : routing)
    for (const RoutingField& field : routing_fields)
      values.emplace_back(fmt::format("routing/{}/{}", numbers.name, field.name), numbers.*field.value);
  return values;
}

// What is reported of a run: each step, the routing table now and then, and in the end what it took.
class PretrainReport {
 public:
  PretrainReport(const PretrainJob& job, SkillAdapter& adapter, ItemReport& report)
      : job_(job), adapter_(adapter), report_(report) {}

  void start(int64_t step) {
    if (!has_routing_table(job_.recipe.spec)) return;
    truncate_routing(job_.run_dir(), step > 0 ? step : -1);
    if (step == 0) look_at_routing(0);
  }

  void step(const StepReport& step) {
    const bool look = has_routing_table(job_.recipe.spec) && (step.validation_loss || step.step == step.steps);
    seconds_ += step.seconds;
    combine_seconds_ += step.combine_seconds;
    report_.step(step, metrics_of(job_, step, look ? look_at_routing(step.step) : std::vector<RoutingNumbers>()));
    if (step.validation_loss)
      report_.say(fmt::format("step {}: validation loss {:.3f} (mean over tasks)", step.step, *step.validation_loss));
  }

  void finish(const AlignmentWatch* watch) {
    report_.say(fmt::format("{} in {}", plural(job_.recipe.phase.schedule.steps, "step"),
                            time_text(monotonic_seconds() - started_)));
    if (const Combine how = job_.recipe.phase.step.combine.how; how != Combine::sum && seconds_ > 0)
      report_.say(fmt::format("gradients joined by {}: {:.1f} s, {:.1f}% of the steps' {:.0f} s", name_of(how),
                              combine_seconds_, 100 * combine_seconds_ / seconds_, seconds_));
    if (watch && watch->measurements() > 0)
      report_.say(fmt::format("gradient alignment: {} in {:.1f} s, {:.1f}% of the steps' {:.0f} s · gaggle align {}",
                              plural(watch->measurements(), "measurement"), watch->seconds(),
                              100 * watch->seconds() / watch->step_seconds(), watch->step_seconds(),
                              job_.run_dir().lexically_normal().string()));
  }

 private:
  std::vector<RoutingNumbers> look_at_routing(int64_t step) {
    return record_routing(job_.run_dir(), step, routing_sites(job_.recipe.spec, adapter_.all_values()));
  }
  const PretrainJob& job_;
  SkillAdapter& adapter_;
  ItemReport& report_;
  double started_ = monotonic_seconds();
  double seconds_ = 0, combine_seconds_ = 0;  // of this start's steps
};

void watch_alignment(AlignmentWatch& watch, LoopHooks& hooks) {
  hooks.before_step = [&](int64_t step, std::span<const Sample> batch) { watch.before_step(step, batch); };
  hooks.after_step = [&](const StepReport& step) { watch.after_step(step); };
  hooks.on_checkpoint = [&] { watch.save(); };
}

AlignmentPlan alignment_plan(const PretrainJob& job) {
  return {job.config().alignment, job.tasks, job.recipe.phase.batch_size, job.config().run.seed,
          job.run_dir() / "alignment"};
}

std::string commit_inventory(const PretrainJob& job, Registry& registry, const SkillsResult& result) {
  Inventory inventory;
  inventory.name = job.name;
  inventory.spec = job.recipe.spec;
  inventory.values = result.values;
  inventory.method = job.config().poly.method;
  nlohmann::json data = nlohmann::json::object();
  for (const TokenTask& task : job.tasks) {
    inventory.tasks.push_back(task.name);
    data[task.name] = task.digest;
  }
  return store_inventory(registry, inventory,
                         {job.context.base,
                          stored_dtype(job.config().registry.dtype),
                          job.recipe.key,
                          {{"recipe", job.recipe.json}, {"data", data}, {"metrics", result.metrics}}});
}

std::unique_ptr<SkillAdapter> make_adapter(const PretrainJob& job) {
  const SkillsRecipe& recipe = job.recipe;
  const BaseModel& base = job.context.base;
  return make_skill_adapter(recipe.spec, recipe.start, recipe.schedule, base.dtype(), base.device());
}

}  // namespace

double pretrain_rate(const PretrainJob& job, double flops) {
  const PhaseSettings& phase = job.recipe.phase;
  const double all = steps_flops(job);
  const auto adapter = make_adapter(job);
  // Where lanes are no multiple of the ranks, some ranks wait for the others.
  const int64_t lanes = phase.step.lanes, ranks = job.context.session.world->size();
  const double busy = static_cast<double>(lanes) / static_cast<double>((lanes + ranks - 1) / ranks * ranks);
  return busy * all /
         phase_seconds(job.context.base, {{phase, *adapter, mixed_tasks(job.tasks, phase, job.recipe.mix)}},
                       flops / all);
}

Commit pretrain(const PretrainJob& job, Registry& registry, Attempt& attempt) {
  const fs::path checkpoints = checkpoints_of(job.run_dir());
  const auto adapter = make_adapter(job);
  std::optional<AlignmentWatch> watch;
  if (job.config().alignment.every > 0) watch.emplace(alignment_plan(job), *adapter, attempt.group);
  TrainingAttempt training(job.context, attempt, checkpoints_of_key(checkpoints, job.recipe.key), job.recipe.key);
  std::optional<PretrainReport> report;
  if (attempt.report) {
    keep_recipe(job);
    report.emplace(job, *adapter, *attempt.report);
    training.hooks.on_step = [&](const StepReport& step) { report->step(step); };
  }
  training.hooks.on_start = [&](int64_t step) {
    if (report) report->start(step);
    if (watch) watch->resume(step);
  };
  if (watch) watch_alignment(*watch, training.hooks);
  const SkillsResult result =
      train_skills(job.context.base, job.tasks, job.recipe, *adapter, attempt.group, training.hooks, checkpoints);
  training.wait();
  if (report) report->finish(watch ? &*watch : nullptr);
  return [&job, &registry, result] { return commit_inventory(job, registry, result); };
}

}  // namespace gaggle
