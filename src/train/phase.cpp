#include "train/phase.h"

#include "base/log.h"
#include "base/pulse.h"
#include "train/same_values.h"

namespace gaggle {
Phase::Phase(const TrainingRun& run, const PhaseMember& member, int number)
    : run_(run),
      hooks_(run.hooks),
      member_(member),
      number_(number),
      adapter_(member.adapter),
      trainer_(run.base, member.adapter, run.group, member.settings.step,
               static_cast<int64_t>(member.data.tasks.size())) {
  failure_ = failure_in(member.kept);
  if (!member.from || member.from->phase != member.settings.phase) return;
  state_ = restore_phase(*member.from, trainer_, adapter_);
  if (state_.unvalidated) state_.unvalidated->member = number;
  failure_ = failure_in(*member.from);
}

void Phase::begin() {
  if (hooks_.on_start) hooks_.on_start(state_.step);
  if (state_.unvalidated) adapter_.begin_step(state_.step - 1);
}

StepPart Phase::next_step() {
  lr_ = learning_rate(member_.settings.schedule, state_.step);
  batch_ = member_.data.batch(state_.step);
  adapter_.begin_step(state_.step);
  if (hooks_.before_step) hooks_.before_step(state_.step, batch_);
  return {trainer_, batch_, lr_};
}

StepReport Phase::end_step(const StepResult& done, double seconds) {
  ++state_.step;
  if (done.skipped && failure_.empty() && run_.group.rank() == 0)
    log::warning("{}{} step {}: the loss or its gradient is not finite (loss {}, |g| {}): no rank makes this update",
                 member_.title.empty() ? "" : member_.title + ": ", name(), state_.step, done.loss, done.grad_norm);
  if (failure_.empty()) failure_ = done.failure;
  StepReport report;
  report.member = number_;
  report.phase = name();
  report.step = state_.step;
  report.steps = steps();
  report.loss = done.loss;
  report.grad_norm = done.grad_norm;
  report.lr = lr_;
  report.seconds = seconds;
  report.tokens = done.tokens;
  report.flops = done.flops;
  report.by_task = done.by_task;
  report.weights_by_task = done.weights_by_task;
  report.combine_seconds = done.combine_seconds;
  if (hooks_.after_step) hooks_.after_step(report);
  if (hooks_.compare_every > 0 && state_.step % hooks_.compare_every == 0) compare_ranks();
  return report;
}

bool Phase::validation_due() const {
  const PhaseSettings& settings = member_.settings;
  const int64_t every = settings.validate_every;
  if (every == 0 || (state_.step % every != 0 && !(settings.keep_best && state_.step == steps()))) return false;
  return std::ranges::any_of(member_.data.tasks,
                             [](const TokenTask* task) { return !task->examples(Split::validation).empty(); });
}

void Phase::validate(StepReport& report) {
  pulse(name() + " validation", state_.step);
  adapter_.begin_evaluation();
  report.validation_by_task = mean_losses(run_.base, &adapter_, member_.data.tasks, Split::validation,
                                          trainer_.settings(), run_.group, hooks_.stop);
  state_.unvalidated.reset();
  const double loss = mean_of_tasks(report.validation_by_task);
  report.validation_loss = loss;
  if (!member_.settings.keep_best || !(loss < state_.best_loss)) return;
  state_.best_loss = loss;
  state_.best_step = state_.step;
  state_.best_values = adapter_.values().cpu().clone();
}

Snapshot Phase::snapshot() {
  Snapshot snapshot = save_phase(state_, trainer_, adapter_);
  snapshot.phase = member_.settings.phase;
  for (const auto& [name, value] : member_.kept.state.items()) snapshot.state[name] = value;
  put_failure(snapshot, failure_);
  snapshot.tensors.insert(member_.kept.tensors.begin(), member_.kept.tensors.end());
  return snapshot;
}

void Phase::compare_ranks() const {
  check_same_values(run_.group, adapter_.layout(), adapter_.values(), name(), state_.step);
}

PhaseEnd Phase::finish() {
  PhaseEnd end{{}, failure_, trainer_.reduced()};
  if (member_.settings.keep_best && state_.best_step >= 0) {
    end.best_step = state_.best_step;
    adapter_.values().copy_(state_.best_values);
    adapter_.refresh();
  } else if (failure_.empty() && trainer_.skipped() > 0) {
    end.failure = fmt::format(
        "the loss or its gradient was not finite in the last {} of {} step(s) of {}: lower its "
        "learning rate, or look at the data",
        trainer_.skipped(), steps(), name());
  }
  // Whoever evaluates the values next routes as in the step they are of, also where no step was left to do.
  adapter_.begin_step(end.best_step.value_or(steps()) - 1);
  return end;
}

}  // namespace gaggle
