#include "job/training.h"

#include "cluster/stop.h"
#include "job/machine.h"

namespace gaggle {

TrainingAttempt::TrainingAttempt(const JobContext& context, const Attempt& attempt,
                                 const std::filesystem::path& checkpoints, const std::string& key, PhaseCosts phases,
                                 const std::vector<std::string>& members) {
  hooks.checkpoint_every = context.config.checkpoint.every;
  hooks.checkpoint_at_end = true;
  hooks.compare_every = context.config.comm.compare_every;
  hooks.machine = machine_of(context.session);
  hooks.strict = context.config.run.strict;
  if (!attempt.report) return;
  attempt.report->open_metrics(context.session.run_dir, context.config.report.tensorboard, std::move(phases), members);
  writer.emplace(checkpoints, key, context.config.checkpoint.keep);
  hooks.snapshots = &*writer;
  hooks.on_step = [report = attempt.report](const StepReport& step) { report->step(step); };
  hooks.say = [report = attempt.report](const std::string& text) { report->say(text); };
  hooks.stop = [] { return stop_requested(); };
}

void TrainingAttempt::wait() {
  if (writer) writer->wait();
}

}  // namespace gaggle
