#include "train/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/pulse.h"
#include "train/phase_state.h"
#include "train/same_values.h"

namespace gaggle {
namespace {

class Phase {
 public:
  Phase(const TrainingRun& run, const PhaseSettings& settings, Trainable& adapter, const TrainingData& data,
        const Snapshot& kept)
      : run_(run),
        hooks_(run.hooks),
        settings_(settings),
        adapter_(adapter),
        data_(data),
        kept_(kept),
        trainer_(run.base, adapter, run.group, settings.step, static_cast<int64_t>(data.tasks.size())) {}

  // Returns the step whose values were kept as the best.
  std::optional<int64_t> train() {
    resume();
    while (state_.step < steps()) {
      pulse(settings_.name, state_.step);
      StepStatus status = status_before_step();
      StepReport report = make_step(status);
      if (validation_due()) validate(report);
      if (hooks_.on_step) hooks_.on_step(report);
      if (status > StepStatus::save && state_.step < steps())
        stop(status == StepStatus::stopped ? Exit::stopped : Exit::resumable);
      if (checkpoint_due(status)) checkpoint();
    }
    return finish();
  }

 private:
  int64_t steps() const { return settings_.schedule.steps; }

  void resume() {
    if (run_.resumes_in(settings_)) state_ = restore_phase(*run_.from, trainer_, adapter_);
    if (hooks_.on_start) hooks_.on_start(state_.step);
    saved_at_ = monotonic_seconds();
    if (!state_.unvalidated) return;
    StepReport report = *state_.unvalidated;
    adapter_.begin_step(state_.step - 1);
    validate(report);
    if (hooks_.on_step) hooks_.on_step(report);
  }

  // What this rank has to say before a step. Only the group's first rank speaks for itself.
  StepStatus status_before_step() const {
    if (run_.group.rank() != 0) return StepStatus::ok;
    if (const std::optional<Exit> asked = hooks_.stop ? hooks_.stop() : std::nullopt)
      return *asked == Exit::stopped ? StepStatus::stopped : StepStatus::resumable;
    const double seconds = 60 * hooks_.checkpoint_every.minutes;
    return seconds > 0 && monotonic_seconds() - saved_at_ >= seconds ? StepStatus::save : StepStatus::ok;
  }

  // `status`: in, this rank's; out, the worst of the group.
  StepReport make_step(StepStatus& status) {
    const double started = monotonic_seconds();
    const double lr = learning_rate(settings_.schedule, state_.step);
    const std::vector<Sample> batch = data_.batch(state_.step);
    adapter_.begin_step(state_.step);
    if (hooks_.before_step) hooks_.before_step(state_.step, batch);
    const StepResult done = trainer_.step(batch, lr, status);
    status = done.status;
    ++state_.step;
    pulse_under_way();
    if (done.skipped && run_.group.rank() == 0)
      log::warning("{} step {}: the loss or its gradient is not finite (loss {}, |g| {}): no rank makes this update",
                   settings_.name, state_.step, done.loss, done.grad_norm);
    StepReport report;
    report.phase = settings_.name;
    report.step = state_.step;
    report.steps = steps();
    report.loss = done.loss;
    report.grad_norm = done.grad_norm;
    report.lr = lr;
    report.seconds = monotonic_seconds() - started;
    report.tokens = done.tokens;
    report.flops = done.flops;
    report.by_task = done.by_task;
    if (hooks_.after_step) hooks_.after_step(report);
    if (hooks_.compare_every > 0 && state_.step % hooks_.compare_every == 0) compare_ranks();
    return report;
  }

  bool validation_due() const {
    const int64_t every = settings_.validate_every;
    if (every == 0 || (state_.step % every != 0 && !(settings_.keep_best && state_.step == steps()))) return false;
    return std::ranges::any_of(data_.tasks,
                               [](const TokenTask* task) { return !task->examples(Split::validation).empty(); });
  }

  void validate(StepReport& report) {
    pulse(settings_.name + " validation", state_.step);
    state_.unvalidated = report;
    adapter_.begin_evaluation();
    try {
      report.validation_by_task =
          mean_losses(run_.base, &adapter_, data_.tasks, Split::validation, settings_.step, run_.group, hooks_.stop);
    } catch (const StopRequested& asked) {
      stop(asked.code);
    }
    state_.unvalidated.reset();
    const double loss = mean_of_tasks(report.validation_by_task);
    report.validation_loss = loss;
    if (!settings_.keep_best || !(loss < state_.best_loss)) return;
    state_.best_loss = loss;
    state_.best_step = state_.step;
    state_.best_values = adapter_.values().cpu().clone();
  }

  bool checkpoint_due(StepStatus status) const {
    if (state_.step == steps()) return hooks_.checkpoint_at_end;
    const int64_t every = hooks_.checkpoint_every.steps;
    return status == StepStatus::save || (every > 0 && state_.step % every == 0);
  }

  void checkpoint() {
    compare_ranks();
    if (hooks_.on_checkpoint) hooks_.on_checkpoint();
    Snapshot snapshot = save_phase(state_, trainer_, adapter_);
    snapshot.phase = settings_.phase;
    snapshot.state["machine"] = hooks_.machine;
    for (const auto& [name, value] : kept_.state.items()) snapshot.state[name] = value;
    snapshot.tensors.insert(kept_.tensors.begin(), kept_.tensors.end());
    if (hooks_.snapshots) hooks_.snapshots->write(std::move(snapshot));
    saved_at_ = monotonic_seconds();
  }

  [[noreturn]] void stop(Exit code) {
    checkpoint();
    if (hooks_.snapshots) hooks_.snapshots->wait();
    throw StopRequested{code};
  }

  std::optional<int64_t> finish() {
    std::optional<int64_t> best;
    if (settings_.keep_best && state_.best_step >= 0) {
      best = state_.best_step;
      adapter_.values().copy_(state_.best_values);
      adapter_.refresh();
    } else if (trainer_.skipped() > 0) {
      throw NotFinite(
          fmt::format("the loss or its gradient was not finite in the last {} of {} step(s) of {}: lower its "
                      "learning rate, or look at the data",
                      trainer_.skipped(), steps(), settings_.name));
    }
    // Whoever evaluates the values next routes as in the step they are of, also where no step was left to do.
    adapter_.begin_step(best.value_or(steps()) - 1);
    return best;
  }

  void compare_ranks() const {
    check_same_values(run_.group, adapter_.layout(), adapter_.values(), settings_.name, state_.step);
  }

  const TrainingRun& run_;
  const LoopHooks& hooks_;
  const PhaseSettings& settings_;
  Trainable& adapter_;
  const TrainingData& data_;
  const Snapshot& kept_;
  Trainer trainer_;
  PhaseState state_;
  double saved_at_ = 0;  // monotonic seconds of the last checkpoint, or of the start
};

}  // namespace

TrainingData mixed_tasks(std::span<const TokenTask> tasks, const PhaseSettings& settings, const MixSettings& mix) {
  TrainingData data;
  std::vector<std::string> names;
  std::vector<int64_t> example_counts;
  for (const TokenTask& task : tasks) {
    data.tasks.push_back(&task);
    names.push_back(task.name);
    example_counts.push_back(static_cast<int64_t>(task.examples(Split::train).size()));
  }
  const auto order = std::make_shared<TaskMix>(settings.seed, names, example_counts, mix);
  data.batch = [order, list = data.tasks, batch_size = settings.batch_size](int64_t step) {
    return mixed_batch(*order, list, step, batch_size);
  };
  return data;
}

std::optional<int64_t> run_phase(const TrainingRun& run, const PhaseSettings& settings, Trainable& adapter,
                                 const TrainingData& data, const Snapshot& kept) {
  return Phase(run, settings, adapter, data, kept).train();
}

std::vector<double> validation_losses(const TrainingRun& run, SiteAdapter* adapter,
                                      const std::vector<const TokenTask*>& tasks, const StepSettings& settings) {
  try {
    return mean_losses(run.base, adapter, tasks, Split::validation, settings, run.group, run.hooks.stop);
  } catch (const StopRequested&) {
    if (run.hooks.snapshots) run.hooks.snapshots->wait();
    throw;
  }
}

}  // namespace gaggle
