#include "train/loop.h"

#include <cmath>
#include <limits>

#include "base/clock.h"
#include "base/log.h"
#include "base/pulse.h"
#include "train/same_values.h"

namespace gaggle {
namespace {

struct Best {
  double loss = std::numeric_limits<double>::infinity();
  int64_t step = -1;
  at::Tensor values;
};

void put(Snapshot& snapshot, const ParameterLayout& layout, const std::string& kind, const at::Tensor& flat) {
  for (const ParameterInfo& tensor : layout.tensors())
    snapshot.tensors[kind + tensor.name] = layout.view(flat, tensor);
}

at::Tensor take(const Snapshot& snapshot, const ParameterLayout& layout, const std::string& kind) {
  at::Tensor flat = at::empty({layout.size()}, at::kFloat);
  for (const ParameterInfo& tensor : layout.tensors()) {
    const auto found = snapshot.tensors.find(kind + tensor.name);
    GAGGLE_CHECK(found != snapshot.tensors.end(), "the checkpoint has no {}{}", kind, tensor.name);
    GAGGLE_CHECK(found->second.sizes() == at::IntArrayRef(tensor.shape),
                 "{}{} has other sizes in the checkpoint", kind, tensor.name);
    layout.view(flat, tensor).copy_(found->second);
  }
  return flat;
}

// What the group's first rank has to say before a step.
Status status_of(const LoopHooks& hooks, double seconds_since_checkpoint) {
  const std::optional<Exit> stop = hooks.stop ? hooks.stop() : std::nullopt;
  const double minutes = hooks.checkpoint_every.minutes;
  if (!stop) return minutes > 0 && seconds_since_checkpoint >= 60 * minutes ? Status::save : Status::ok;
  return *stop == Exit::stopped ? Status::stopped : Status::resumable;
}

Snapshot make_snapshot(const PhaseSettings& settings, Trainer& trainer, Trainable& adapter, const Best& best,
                       int64_t step, const nlohmann::json& machine, const Snapshot& extra) {
  Snapshot snapshot = extra;
  snapshot.phase = settings.phase;
  snapshot.step = step;
  snapshot.state["machine"] = machine;
  const Trainer::State state = trainer.state();
  const ParameterLayout& layout = adapter.layout();
  // Copies: training goes on while they are written.
  put(snapshot, layout, "values/", adapter.values().to(at::kCPU, at::kFloat, false, /*copy=*/true));
  put(snapshot, trainer.state_layout(), "", state.flat.clone());
  snapshot.state["updates"] = state.updates;
  snapshot.state["not_finite"] = state.not_finite;
  snapshot.state["best_step"] = best.step;
  if (best.step >= 0) {
    snapshot.state["best_loss"] = best.loss;
    put(snapshot, layout, "best/", best.values);
  }
  return snapshot;
}

// A step whose validation is still to be done, so that a stop need not wait for its end.
nlohmann::json step_json(const StepReport& report) {
  return {{"loss", report.loss},       {"grad_norm", report.grad_norm}, {"lr", report.lr},
          {"seconds", report.seconds}, {"rows", report.rows},           {"flops", report.flops},
          {"by_task", report.by_task}};
}

StepReport step_from(const nlohmann::json& json, const PhaseSettings& settings, int64_t step) {
  const auto number = [](const nlohmann::json& value) {
    return value.is_number() ? value.get<double>() : std::nan("");
  };
  StepReport report{settings.name,
                    step,
                    settings.schedule.steps,
                    number(json.at("loss")),
                    number(json.at("grad_norm")),
                    json.at("lr"),
                    json.at("seconds"),
                    json.at("rows"),
                    json.at("flops"),
                    {},
                    {},
                    {}};
  for (const auto& loss : json.at("by_task")) report.by_task.push_back(number(loss));
  return report;
}

Best restore(const Snapshot& from, Trainer& trainer, Trainable& adapter) {
  const ParameterLayout& layout = adapter.layout();
  adapter.values().copy_(snapshot_values(from, layout));
  adapter.refresh();
  trainer.restore({take(from, trainer.state_layout(), ""), from.state.at("updates").get<int64_t>(),
                   from.state.at("not_finite").get<int64_t>()});
  Best best;
  best.step = from.state.at("best_step").get<int64_t>();
  if (best.step >= 0) {
    best.loss = from.state.at("best_loss").get<double>();
    best.values = take(from, layout, "best/");
  }
  return best;
}

}  // namespace

TrainingData single_task(const TokenTask& task, const PhaseSettings& settings) {
  const auto rows = static_cast<int64_t>(task.rows(Split::train).size());
  const auto sampler = std::make_shared<RowSampler>(settings.seed, task.name, rows);
  return {{&task}, [sampler, &task, batch_size = settings.batch_size](int64_t step) {
            return task_batch(*sampler, task.rows(Split::train), step, batch_size);
          }};
}

TrainingData mixed_tasks(const std::vector<TokenTask>& tasks, const PhaseSettings& settings,
                         const MixSettings& mix) {
  TrainingData data;
  std::vector<std::string> names;
  std::vector<int64_t> rows;
  for (const TokenTask& task : tasks) {
    data.tasks.push_back(&task);
    names.push_back(task.name);
    rows.push_back(static_cast<int64_t>(task.rows(Split::train).size()));
  }
  const auto order = std::make_shared<TaskMix>(settings.seed, names, rows, mix);
  data.batch = [order, list = data.tasks, batch_size = settings.batch_size](int64_t step) {
    return mixed_batch(*order, list, step, batch_size);
  };
  return data;
}

at::Tensor snapshot_values(const Snapshot& snapshot, const ParameterLayout& layout) {
  return take(snapshot, layout, "values/");
}

PhaseResult run_phase(const PhaseSettings& settings, BaseModel& base, Trainable& adapter,
                      const TrainingData& data, Communicator& group, const LoopHooks& hooks,
                      const Snapshot* from, const Snapshot& extra) {
  const int64_t steps = settings.schedule.steps;
  Trainer trainer(base, adapter, group, settings.step, static_cast<int64_t>(data.tasks.size()));
  const bool validates = std::any_of(data.tasks.begin(), data.tasks.end(), [](const TokenTask* task) {
    return !task->rows(Split::validation).empty();
  });
  Best best;
  int64_t step = 0;
  if (from) {
    best = restore(*from, trainer, adapter);
    step = from->step;
  }
  if (hooks.on_start) hooks.on_start(step);
  PhaseResult result;
  double saved_at = monotonic_seconds();
  std::optional<StepReport> unvalidated;
  const auto checkpoint = [&] {
    check_same_values(group, adapter.layout(), adapter.values(), settings.name, step);
    if (hooks.on_checkpoint) hooks.on_checkpoint();
    Snapshot snapshot =
        make_snapshot(settings, trainer, adapter, best, step, hooks.machine, extra);  // collective
    if (unvalidated) snapshot.state["unvalidated"] = step_json(*unvalidated);
    if (hooks.snapshots) hooks.snapshots->write(std::move(snapshot));
    saved_at = monotonic_seconds();
  };
  const auto validate = [&](StepReport& report) {
    pulse(settings.name + " validation", step);
    adapter.begin_evaluation();
    report.validation_by_task = mean_losses(base, &adapter, data.tasks, Split::validation, settings.step.lanes,
                                            settings.step.tokens_per_microbatch, group, hooks.stop);
    const double loss = mean_of_tasks(report.validation_by_task);
    report.validation_loss = loss;
    if (settings.keep_best && loss < best.loss) best = {loss, step, adapter.values().cpu().clone()};
  };
  const auto leave = [&](Exit code) {
    checkpoint();
    if (hooks.snapshots) hooks.snapshots->wait();
    result.stopped = code;
    return result;
  };
  if (from && from->state.contains("unvalidated")) {
    unvalidated = step_from(from->state.at("unvalidated"), settings, step);
    adapter.begin_step(step - 1);
    try {
      validate(*unvalidated);
    } catch (const Interrupted& asked) {
      return leave(asked.code);
    }
    if (hooks.on_step) hooks.on_step(*unvalidated);
    unvalidated.reset();
  }
  while (step < steps) {
    pulse(settings.name, step);
    const double started = monotonic_seconds();
    const double lr = learning_rate(settings.schedule, step);
    const Status mine = group.rank() == 0 ? status_of(hooks, started - saved_at) : Status::ok;
    const std::vector<Sample> batch = data.batch(step);
    adapter.begin_step(step);
    if (hooks.before_step) hooks.before_step(step, batch);
    const StepResult done = trainer.step(batch, lr, mine);
    ++step;
    pulse_under_way();
    if (done.skipped && group.rank() == 0)
      log::warning(
          "{} step {}: the loss or its gradient is not finite (loss {}, |g| {}): no rank makes this update",
          settings.name, step, done.loss, done.grad_norm);
    result.losses.push_back(done.loss);

    const double seconds = monotonic_seconds() - started;
    StepReport report{settings.name, step,         steps, done.loss, done.grad_norm, lr, seconds, done.rows,
                      done.flops,    done.by_task, {},    {}};
    if (hooks.after_step) hooks.after_step(report);
    if (hooks.compare_every > 0 && step % hooks.compare_every == 0)
      check_same_values(group, adapter.layout(), adapter.values(), settings.name, step);
    if (settings.validate_every > 0 &&
        (step % settings.validate_every == 0 || (settings.keep_best && step == steps)) && validates) {
      try {
        validate(report);
      } catch (const Interrupted& asked) {
        unvalidated = report;
        return leave(asked.code);
      }
    }
    if (hooks.on_step) hooks.on_step(report);

    if (done.status > Status::save && step < steps)
      return leave(done.status == Status::stopped ? Exit::stopped : Exit::resumable);
    const int64_t every = hooks.checkpoint_every.steps;
    const bool due = done.status == Status::save || (every > 0 && step % every == 0);
    if (step == steps ? hooks.checkpoint_at_end : due) checkpoint();
  }
  if (settings.keep_best && best.step >= 0) {
    adapter.values().copy_(best.values);
    adapter.refresh();
    result.best_step = best.step;
  }
  // What is evaluated from here on is routed as in the values' own step, also where no step was left to do.
  adapter.begin_step(result.best_step.value_or(steps) - 1);
  return result;
}

}  // namespace gaggle
