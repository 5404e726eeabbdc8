#include "app/pretrain_report.h"

#include <cmath>

#include "base/clock.h"
#include "base/error.h"
#include "base/table.h"
#include "coordinator/item_list.h"

namespace gaggle {

PretrainReport::PretrainReport(const PretrainJob& job)
    : job_(job),
      live_(stdout),
      metrics_(job.session.run_dir, job.name, job.config.report.tensorboard),
      journal_(job.session.run_dir, job.session.identity.worker_name(), job.session.identity.worker_name(), 0,
               publish_items(job.session.run_dir, {{job.recipe.key, job.name, 1}})),
      started_(monotonic_seconds()) {
  journal_.event("taken", job.name, job.recipe.key);
}

void PretrainReport::step(const StepReport& r, std::span<const RoutingNumbers> routing) {
  speed_.add(r);
  std::vector<std::pair<std::string, double>> values = step_values(r);
  const auto by_task = [&](const std::string& kind, const std::vector<double>& losses) {
    for (size_t t = 0; t < losses.size(); ++t)
      if (!std::isnan(losses[t])) values.emplace_back(kind + "/" + job_.tasks[t].name, losses[t]);
  };
  by_task("loss", r.by_task);
  if (r.validation_loss) {
    values.emplace_back("validation_loss", *r.validation_loss);
    by_task("validation_loss", r.validation_by_task);
    live_.say(fmt::format("step {}: validation loss {:.3f} (mean over tasks)", r.step, *r.validation_loss));
  }
  for (const RoutingNumbers& numbers : routing)
    for (const RoutingField& field : routing_fields)
      values.emplace_back(fmt::format("routing/{}/{}", numbers.name, field.name), numbers.*field.value);
  metrics_.write(r.phase, r.step, values);
  if (r.step == 1 || r.step == r.steps || r.validation_loss) metrics_.flush();

  const double now = monotonic_seconds();
  if (now - last_drawn_ < 0.25 && r.step < r.steps) return;
  last_drawn_ = now;
  const double left = speed_.seconds_left(r), tokens_per_s = speed_.per_second(speed_.rows),
               gemm_share = speed_.per_second(speed_.flops) / std::max(1.0, job_.gemm_flops),
               share = static_cast<double>(r.step) / static_cast<double>(r.steps);
  journal_.progress(
      {job_.name, r.phase, r.step, r.steps, r.loss, r.grad_norm, r.lr, tokens_per_s, left, gemm_share});
  const int ranks = job_.session.world->size();
  live_.draw({{ranks == 1 ? "1 rank" : fmt::format("{} ranks", ranks), job_.name, r.phase, r.step, r.steps,
               r.loss, r.grad_norm, r.lr, tokens_per_s, gemm_share, left}},
             share, fmt::format("step {} of {} · {} left", r.step, r.steps, time_text(left)));
}

void PretrainReport::finish(const std::string& version) {
  journal_.event("committed", job_.name, job_.recipe.key, version);
  metrics_.flush();
  live_.say(fmt::format("{} steps in {}", job_.recipe.phase.schedule.steps,
                        time_text(monotonic_seconds() - started_)));
}

void PretrainReport::alignment(int64_t measurements, double seconds, double step_seconds) {
  if (measurements == 0) return;
  live_.say(fmt::format(
      "gradient alignment: {} measurements in {:.1f} s, {:.1f}% of the steps' {:.0f} s · gaggle align {}",
      measurements, seconds, 100 * seconds / step_seconds, step_seconds,
      job_.session.run_dir.lexically_normal().string()));
}

}  // namespace gaggle
