#include "train/loop.h"

#include <cmath>
#include <limits>

#include "base/clock.h"

namespace gaggle {
namespace {

struct Best {
  double loss = std::numeric_limits<double>::infinity();
  int64_t step = -1;
  at::Tensor values;
};

void put(Snapshot& snapshot, const ParameterLayout& layout, const std::string& kind, const at::Tensor& flat) {
  for (const ParameterInfo& tensor : layout.tensors())
    snapshot.tensors[kind + "/" + tensor.name] = layout.view(flat, tensor);
}

at::Tensor take(const Snapshot& snapshot, const ParameterLayout& layout, const std::string& kind) {
  at::Tensor flat = at::empty({layout.size()}, at::kFloat);
  for (const ParameterInfo& tensor : layout.tensors()) {
    const auto found = snapshot.tensors.find(kind + "/" + tensor.name);
    GAGGLE_CHECK(found != snapshot.tensors.end(), "the checkpoint has no {}/{}", kind, tensor.name);
    layout.view(flat, tensor).copy_(found->second);
  }
  return flat;
}

Status status_of(const std::optional<Exit>& stop) {
  if (!stop) return Status::ok;
  return *stop == Exit::stopped ? Status::stopped : Status::resumable;
}

Snapshot make_snapshot(const PhaseSettings& settings, Trainer& trainer, Trainable& adapter, const Best& best,
                       int64_t step, const nlohmann::json& machine, const Snapshot& extra) {
  Snapshot snapshot = extra;
  snapshot.phase = settings.phase;
  snapshot.step = step;
  snapshot.state["machine"] = machine;
  const Trainer::Moments moments = trainer.moments();
  const ParameterLayout& layout = adapter.layout();
  // Copies: training goes on while they are written.
  put(snapshot, layout, "values", adapter.values().to(at::kCPU, at::kFloat, false, /*copy=*/true));
  put(snapshot, layout, "m", moments.m.clone());
  put(snapshot, layout, "v", moments.v.clone());
  snapshot.state["updates"] = moments.updates;
  snapshot.state["not_finite"] = moments.not_finite;
  snapshot.state["best_step"] = best.step;
  if (best.step >= 0) {
    snapshot.state["best_loss"] = best.loss;
    put(snapshot, layout, "best", best.values);
  }
  return snapshot;
}

Best restore(const Snapshot& from, Trainer& trainer, Trainable& adapter) {
  const ParameterLayout& layout = adapter.layout();
  adapter.values().copy_(take(from, layout, "values"));
  adapter.refresh();
  trainer.restore({take(from, layout, "m"), take(from, layout, "v"), from.state.at("updates").get<int64_t>(),
                   from.state.at("not_finite").get<int64_t>()});
  Best best;
  best.step = from.state.at("best_step").get<int64_t>();
  if (best.step >= 0) {
    best.loss = from.state.at("best_loss").get<double>();
    best.values = take(from, layout, "best");
  }
  return best;
}

}  // namespace

PhaseResult run_phase(const PhaseSettings& settings, BaseModel& base, Trainable& adapter, const TokenTask& task,
                      Communicator& group, const LoopHooks& hooks, const Snapshot* from,
                      const Snapshot& extra) {
  const std::vector<TokenRow>& rows = task.rows(Split::train);
  const int64_t steps = settings.schedule.steps;
  RowSampler sampler(settings.seed, task.name, static_cast<int64_t>(rows.size()));
  Trainer trainer(base, adapter, group, settings.step);
  Best best;
  int64_t step = 0;
  if (from) {
    best = restore(*from, trainer, adapter);
    step = from->step;
  }
  PhaseResult result;
  const auto checkpoint = [&] {
    Snapshot snapshot =
        make_snapshot(settings, trainer, adapter, best, step, hooks.machine, extra);  // collective
    if (hooks.snapshots) hooks.snapshots->write(std::move(snapshot));
  };
  while (step < steps) {
    const double started = monotonic_seconds();
    const double lr = learning_rate(settings.schedule, step);
    const Status mine = group.rank() == 0 && hooks.stop ? status_of(hooks.stop()) : Status::ok;
    const StepResult done = trainer.step(task_batch(sampler, rows, step, settings.batch_size), lr, mine);
    ++step;
    result.losses.push_back(done.loss);

    const double seconds = monotonic_seconds() - started;
    StepReport report{settings.name, step,      steps,      done.loss, done.grad_norm, lr,
                      seconds,       done.rows, done.flops, {}};
    if (settings.validate_every > 0 &&
        (step % settings.validate_every == 0 || (settings.keep_best && step == steps)) &&
        !task.rows(Split::validation).empty()) {
      const double loss = mean_loss(base, &adapter, task.rows(Split::validation), settings.step.lanes,
                                    settings.step.tokens_per_microbatch, group);
      report.validation_loss = loss;
      if (settings.keep_best && loss < best.loss) best = {loss, step, adapter.values().cpu().clone()};
    }
    if (hooks.on_step) hooks.on_step(report);

    if (done.status != Status::ok && step < steps) {
      checkpoint();
      if (hooks.snapshots) hooks.snapshots->wait();
      result.stopped = done.status == Status::stopped ? Exit::stopped : Exit::resumable;
      return result;
    }
    if (hooks.checkpoint_every > 0 && step % hooks.checkpoint_every == 0 && step < steps) checkpoint();
  }
  if (settings.keep_best && best.step >= 0) {
    adapter.values().copy_(best.values);
    adapter.refresh();
    result.best_step = best.step;
  }
  return result;
}

}  // namespace gaggle
