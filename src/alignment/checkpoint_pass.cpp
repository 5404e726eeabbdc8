#include "alignment/checkpoint_pass.h"

#include "alignment/alignment_watch.h"
#include "base/error.h"
#include "base/log.h"
#include "base/long_phase.h"
#include "base/table.h"
#include "train/phase_state.h"

namespace gaggle {
namespace {

// The first `count` examples in the order in which each task's are drawn, as one batch.
std::vector<Sample> batch_of_all(const std::vector<TokenTask>& tasks, int64_t count, uint64_t seed) {
  std::vector<Sample> batch;
  for (size_t t = 0; t < tasks.size(); ++t) {
    const auto& examples = tasks[t].examples(Split::train);
    const auto all = static_cast<int64_t>(examples.size());
    if (all < count)
      log::warning("task {} has {} training examples, fewer than --examples {}", tasks[t].name, all, count);
    ExampleSampler order(seed, tasks[t].name, all);
    for (int64_t i = 0; i < std::min(count, all); ++i)
      batch.push_back({static_cast<int64_t>(batch.size()), static_cast<int>(t),
                       &examples[static_cast<size_t>(order.example(i))], i});
  }
  return batch;
}

Snapshot checkpoint_of(const SkillsRecipe& recipe, const CheckpointPass& pass) {
  const auto folder = checkpoints_of_key(pass.checkpoints, recipe.key);
  const bool newest = pass.step < 0;
  std::optional<Snapshot> found =
      newest_snapshot({folder}, recipe.key, newest ? recipe.phase.schedule.steps : pass.step);
  if (!found)
    user_error("{}: no checkpoint{} of this run's config (checkpoint.keep says how many stay)", folder.string(),
               newest ? "" : fmt::format(" up to step {}", pass.step));
  if (!newest && found->step != pass.step)
    user_error("{}: no checkpoint of step {}; the newest before it is {}", folder.string(), pass.step, found->step);
  return std::move(*found);
}

// Gradients of the batch's tasks at the adapter's values go to the watch.
void run_pass(BaseModel& base, SkillAdapter& adapter, AlignmentWatch& watch, const StepSettings& settings, int64_t step,
              std::span<const Sample> batch, Communicator& group) {
  const std::vector<float> weights = loss_weights(batch, settings.loss_average);
  adapter.begin_step(step);
  watch.before_step(step, batch);
  const LaneRange run = lanes_of_rank(group.rank(), group.size(), settings.lanes);
  const auto lanes = static_cast<double>(run.end - run.begin);
  LongPhase phase("gradients of " + plural(static_cast<int64_t>(batch.size()), "example"), lanes);
  for (int64_t lane = run.begin; lane < run.end; ++lane) {
    const std::vector<Microbatch> microbatches =
        lane_microbatches(batch, weights, lane, settings.lanes, settings.tokens_per_microbatch);
    for (const Microbatch& microbatch : microbatches) {
      base.forward_backward(microbatch, adapter, {settings.label_smoothing, {}});
      phase.add(1.0 / static_cast<double>(microbatches.size()));
    }
    adapter.finish_gradients();
  }
  StepReport report;
  report.step = step;
  watch.after_step(report);
}

}  // namespace

AlignmentRun measure_checkpoint(BaseModel& base, const std::vector<TokenTask>& tasks, const SkillsRecipe& recipe,
                                const CheckpointPass& pass, Communicator& group) {
  const Snapshot from = checkpoint_of(recipe, pass);
  const auto adapter = make_skill_adapter(recipe.spec, snapshot_values(from, trained_layout(recipe.spec)),
                                          recipe.schedule, base.dtype(), base.device());
  const std::vector<Sample> batch = batch_of_all(tasks, pass.examples, recipe.phase.seed);
  const auto folder = pass.run_folder / "alignment" / fmt::format("step-{}-examples-{}", from.step, pass.examples);
  AlignmentPlan plan{pass.settings, tasks, static_cast<int64_t>(batch.size()), recipe.phase.seed, folder};
  plan.config.every = 1;
  plan.config.window = 1;
  plan.config.space = recipe.schedule.sampling == Sampling::example ? "skill" : "both";
  AlignmentWatch watch(plan, *adapter, group);
  watch.resume(0);
  run_pass(base, *adapter, watch, recipe.phase.step, from.step, batch, group);
  watch.save();
  const std::string name = fmt::format("{} step {}", pass.run_folder.filename().string(), from.step);
  return {name, group.rank() == 0 ? read_steps(folder) : std::vector<MeasuredStep>(), watch.windows(), {}};
}

}  // namespace gaggle
