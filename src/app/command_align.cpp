// gaggle align RUN…: what runs have measured of gradient alignment; with --rows a pass over a run's checkpoint,
// every pair of tasks, by all ranks together.
#include <cstdio>

#include "alignment/report.h"
#include "app/alignment_watch.h"
#include "app/commands.h"
#include "app/pretrain_job.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/philox.h"
#include "config/read.h"
#include "job/inputs.h"

namespace gaggle {
namespace {

// The first rows of each task's own order, n of each, as one batch.
std::vector<Sample> pass_batch(const std::vector<TokenTask>& tasks, int64_t n, uint64_t seed) {
  std::vector<Sample> batch;
  for (size_t t = 0; t < tasks.size(); ++t) {
    const auto& rows = tasks[t].rows(Split::train);
    const auto have = static_cast<int64_t>(rows.size());
    if (have < n) log::warning("task {} has {} training rows, fewer than --rows {}", tasks[t].name, have, n);
    RowSampler order(seed, tasks[t].name, have);
    for (int64_t i = 0; i < std::min(n, have); ++i)
      batch.push_back({static_cast<int64_t>(batch.size()), static_cast<int>(t),
                       &rows[static_cast<size_t>(order.row(i))], i});
  }
  return batch;
}

Snapshot checkpoint_of(const RoutedRecipe& recipe, const fs::path& run, int64_t step) {
  const fs::path folder = checkpoints_of(run) / recipe.key.substr(0, 16);
  std::optional<Snapshot> found =
      newest_snapshot({folder}, recipe.key, step < 0 ? recipe.phase.schedule.steps : step);
  if (!found)
    user_error("{}: no checkpoint{} of this run's config (checkpoint.keep says how many stay)", folder.string(),
               step < 0 ? "" : fmt::format(" up to step {}", step));
  if (step >= 0 && found->step != step)
    user_error("{}: no checkpoint of step {}; the newest before it is {}", folder.string(), step, found->step);
  return std::move(*found);
}

// Gradients of the batch's tasks at the adapter's values go to the watch; nothing is trained.
void run_pass(BaseModel& base, SkillAdapter& adapter, AlignmentWatch& watch, const RoutedRecipe& recipe,
              int64_t step, std::span<const Sample> batch, Communicator& group) {
  const StepSettings& settings = recipe.phase.step;
  const std::vector<float> weights = loss_weights(batch, settings.loss_average);
  adapter.begin_step(step);
  watch.before_step(step, batch);
  const LaneRange run = lanes_of_rank(group.rank(), group.size(), settings.lanes);
  for (int64_t lane = run.begin; lane < run.end; ++lane) {
    for (const Rows& rows :
         lane_microbatches(batch, weights, lane, settings.lanes, settings.tokens_per_microbatch))
      base.forward_backward(rows, adapter, {settings.label_smoothing, {}});
    adapter.finish_gradients();
  }
  StepReport report;
  report.step = step;
  watch.after_step(report);
}

// The pass of one run; its windows on the first rank.
AlignmentRun measured_by_pass(const fs::path& run, const AlignOptions& options, Session& session) {
  const Config config = read_config(run / "config.toml", {});
  const Inputs inputs = load_inputs(config, config.data.tasks, config.data.limit_examples);
  const auto base = load_base(config, inputs, session.device, BaseUse::training);
  session.run_dir = run;
  const RoutedRecipe recipe = routed_recipe({config, base->sites(), base->content_digest(), base->dtype()},
                                            inputs.tasks, resolve_lanes(config, session));
  const Snapshot from = checkpoint_of(recipe, run, options.step);
  const auto adapter = make_skill_adapter(recipe.spec, snapshot_values(from, trained_layout(recipe.spec)),
                                          recipe.schedule, base->dtype(), base->device());
  const std::vector<Sample> batch = pass_batch(inputs.tasks, options.rows, config.run.seed);
  AlignmentConfig settings = config.alignment;
  settings.every = 1;
  settings.window = 1;
  settings.space = config.poly.sample == "example" ? "skill" : "both";
  const fs::path folder = run / "alignment" / fmt::format("step-{}-rows-{}", from.step, options.rows);
  AlignmentWatch watch({settings, inputs.tasks, static_cast<int64_t>(batch.size()), config.run.seed, folder},
                       *adapter, *session.world);
  watch.resume(0);
  run_pass(*base, *adapter, watch, recipe, from.step, batch, *session.world);
  watch.save();
  AlignmentRun measured{fmt::format("{} step {}", run.filename().string(), from.step), {}, watch.windows(), {}};
  if (session.world->rank() == 0) measured.steps = read_steps(folder);
  return measured;
}

}  // namespace

Exit command_align(const AlignOptions& options) {
  if (options.step >= 0 && options.rows == 0)
    user_error("--step names the checkpoint of a pass: say how many rows of each task with --rows");
  std::vector<AlignmentRun> runs;
  bool first = true;
  if (options.rows == 0) {
    for (const std::string& run : options.runs) runs.push_back(read_alignment_run(run));
  } else {
    for (const std::string& run : options.runs)
      if (!fs::exists(fs::path(run) / "config.toml"))
        user_error("{}: config.toml is not there: expected the folder of a run of gaggle pretrain", run);
    Session session = start_session(read_config(fs::path(options.runs[0]) / "config.toml", {}));
    first = session.world->rank() == 0;
    for (const std::string& run : options.runs) runs.push_back(measured_by_pass(run, options, session));
    end_session(session);
  }
  if (!first) return Exit::done;
  std::fputs((runs.size() > 1 ? comparison_text(runs) : alignment_text(runs[0], options.pairs)).c_str(),
             stdout);
  return Exit::done;
}

}  // namespace gaggle
