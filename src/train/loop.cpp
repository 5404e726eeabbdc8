#include "train/loop.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/names.h"
#include "base/pulse.h"
#include "train/pack_snapshot.h"
#include "train/phase.h"

namespace gaggle {
namespace {

// Phases that go through their steps together, in one set of checkpoints.
class Loop {
 public:
  Loop(const TrainingRun& run, const std::vector<PhaseMember>& members)
      : run_(run), hooks_(run.hooks), members_(members) {
    for (size_t i = 0; i < members.size(); ++i)
      phases_.push_back(std::make_unique<Phase>(run, members[i], static_cast<int>(i)));
  }

  std::vector<PhaseEnd> train() {
    for (const auto& phase : phases_) phase->begin();
    say_where_it_goes_on();
    saved_at_ = monotonic_seconds();
    std::vector<StepReport> cut_short;
    for (const auto& phase : phases_)
      if (phase->unvalidated()) cut_short.push_back(*phase->unvalidated());
    report(cut_short);
    while (any_live()) {
      pulse(phases_[0]->name(), step());
      StepStatus status = status_before_step();
      std::vector<StepReport> reports = make_step(status);
      for (const StepReport& of : reports)
        if (phase_of(of).validation_due()) phase_of(of).will_validate(of);
      // A stop comes in a validation: who has none is reported before it.
      std::ranges::stable_partition(reports, [&](const StepReport& of) { return !phase_of(of).unvalidated(); });
      report(reports);
      if (status > StepStatus::save && any_live())
        stop(status == StepStatus::stopped ? Exit::stopped : Exit::resumable);
      if (checkpoint_due(status)) checkpoint();
    }
    return finish();
  }

 private:
  Phase& phase_of(const StepReport& report) { return *phases_[static_cast<size_t>(report.member)]; }

  bool any_live() const {
    return std::ranges::any_of(phases_, [](const auto& phase) { return phase->live(); });
  }

  int64_t step() const {
    int64_t most = 0;
    for (const auto& phase : phases_) most = std::max(most, phase->step());
    return most;
  }

  void say_where_it_goes_on() const {
    if (!hooks_.say || step() == 0) return;
    const Phase& longest =
        *std::ranges::max_element(phases_, {}, [](const auto& phase) { return phase->step(); })->get();
    hooks_.say(fmt::format("{} goes on from step {} of {} of {} ({})", run_.item, step(), longest.steps(),
                           longest.name(), run_.from->folder.string()));
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
  std::vector<StepReport> make_step(StepStatus& status) {
    const double started = monotonic_seconds();
    std::vector<Phase*> live;
    std::vector<StepPart> parts;
    for (const auto& phase : phases_)
      if (phase->live()) live.push_back(phase.get()), parts.push_back(phase->next_step());
    const std::vector<StepResult> results = step_together(parts, status);
    status = results[0].status;
    pulse_under_way();
    const double seconds = monotonic_seconds() - started;
    double tokens = 0;
    for (const StepResult& result : results) tokens += static_cast<double>(result.tokens);
    std::vector<StepReport> reports;
    for (size_t i = 0; i < live.size(); ++i)
      reports.push_back(live[i]->end_step(results[i], seconds * static_cast<double>(results[i].tokens) / tokens));
    std::vector<std::string> failures;
    for (const auto& phase : phases_) failures.push_back(phase->failure());
    throw_where_all_failed(failures);
    return reports;
  }

  void throw_where_all_failed(const std::vector<std::string>& failures) const {
    std::vector<std::string> texts;
    for (size_t i = 0; i < failures.size(); ++i) {
      if (failures[i].empty()) return;
      texts.push_back(titled(members_[i].title, failures[i]));
    }
    throw NotFinite(join(texts, "; "));
  }

  // Validates who is to be validated, and passes on what is known then.
  void report(std::vector<StepReport>& reports) {
    for (StepReport& of : reports) {
      of.ends_the_step = &of == &reports.back();
      try {
        if (phase_of(of).unvalidated()) phase_of(of).validate(of);
      } catch (const StopRequested& asked) {
        stop(asked.code);
      }
      if (hooks_.on_step) hooks_.on_step(of);
    }
  }

  bool checkpoint_due(StepStatus status) const {
    if (!any_live()) return hooks_.checkpoint_at_end;
    const int64_t every = hooks_.checkpoint_every.steps;
    return status == StepStatus::save || (every > 0 && step() % every == 0);
  }

  void checkpoint() {
    for (const auto& phase : phases_) phase->compare_ranks();
    if (hooks_.on_checkpoint) hooks_.on_checkpoint();
    std::vector<KeyedSnapshot> all;
    for (size_t i = 0; i < phases_.size(); ++i) all.push_back({members_[i].key, phases_[i]->snapshot()});
    Snapshot snapshot = joined(std::move(all));
    snapshot.state["machine"] = hooks_.machine;
    if (hooks_.snapshots) hooks_.snapshots->write(std::move(snapshot));
    saved_at_ = monotonic_seconds();
  }

  [[noreturn]] void stop(Exit code) {
    checkpoint();
    if (hooks_.snapshots) hooks_.snapshots->wait();
    throw StopRequested{code};
  }

  std::vector<PhaseEnd> finish() {
    std::vector<PhaseEnd> ends;
    std::vector<std::string> failures;
    for (const auto& phase : phases_) failures.push_back(ends.emplace_back(phase->finish()).failure);
    throw_where_all_failed(failures);
    return ends;
  }

  const TrainingRun& run_;
  const LoopHooks& hooks_;
  const std::vector<PhaseMember>& members_;
  std::vector<std::unique_ptr<Phase>> phases_;
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

void PhaseEnd::note_in(nlohmann::json& metrics, const std::string& phase) const {
  if (best_step) metrics["best_step"] = *best_step;
  if (reduced)
    metrics["not_reproducible"][phase] =
        "memory ended: its passes were of fewer tokens than train.tokens_per_microbatch";
}

std::string titled(const std::string& title, const std::string& failure) {
  return title.empty() ? failure : title + ": " + failure;
}

std::vector<PhaseEnd> run_together(const TrainingRun& run, const std::vector<PhaseMember>& members) {
  return Loop(run, members).train();
}

PhaseEnd run_phase(const TrainingRun& run, const PhaseSettings& settings, Trainable& adapter, const TrainingData& data,
                   const Snapshot& kept) {
  return run_together(run, {{settings, adapter, data, kept, run.from}})[0];
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
