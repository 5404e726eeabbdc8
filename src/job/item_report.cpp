#include "job/item_report.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "formats/tfevents.h"

namespace gaggle {

ItemReport::ItemReport(Journal& journal, std::string item, double gemm_flops)
    : journal_(journal), item_(std::move(item)), gemm_flops_(std::max(1.0, gemm_flops)) {}

void ItemReport::open_metrics(const std::filesystem::path& run_dir, bool tensorboard, PhaseCosts phases,
                              const std::vector<std::string>& members) {
  for (const std::string& name : members.empty() ? std::vector{item_} : members)
    metrics_.push_back(std::make_unique<MetricsLog>(run_dir, name, tensorboard));
  phases_ = std::move(phases);
}

double ItemReport::share_done(const StepReport& report, int64_t step) const {
  const double of_phase = static_cast<double>(step) / static_cast<double>(report.steps);
  double before = 0, all = 0, phase = 0;
  for (const auto& [name, cost] : phases_) {
    if (name == report.phase) before = all, phase = cost;
    all += cost;
  }
  return all > 0 ? (before + of_phase * phase) / all : of_phase;
}

namespace {

// Of members that made a step together: the longest one's place in the phase, the mean of losses and norms.
StepReport of_all(const std::vector<StepReport>& members) {
  StepReport all = members[0];
  if (members.size() == 1) return all;
  const auto count = static_cast<double>(members.size());
  all.loss = all.grad_norm = all.seconds = all.flops = 0, all.tokens = 0;
  for (const StepReport& member : members) {
    all.step = std::max(all.step, member.step), all.steps = std::max(all.steps, member.steps);
    all.loss += member.loss / count, all.grad_norm += member.grad_norm / count;
    all.seconds += member.seconds, all.flops += member.flops, all.tokens += member.tokens;
  }
  return all;
}

}  // namespace

void ItemReport::step(const StepReport& report, const Metrics& more) {
  Metrics values = step_values(report);
  if (report.validation_loss) values.emplace_back("validation_loss", *report.validation_loss);
  values.insert(values.end(), more.begin(), more.end());
  MetricsLog& metrics = *metrics_[static_cast<size_t>(report.member)];
  metrics.write(report.phase, report.step, values);
  if (report.step == 1 || report.step == report.steps || report.validation_loss) metrics.flush();
  of_step_.push_back(report);
  if (!report.ends_the_step) return;
  progress(of_all(of_step_));
  of_step_.clear();
}

void ItemReport::progress(const StepReport& report) {
  if (report.phase != phase_) speed_ = {}, phase_ = report.phase;
  speed_.add(report);
  if (share_at_start_ < 0) share_at_start_ = share_done(report, report.step - 1);
  share_ = share_done(report, report.step);
  journal_.progress({item_, report.phase, report.step, report.steps, report.loss, report.grad_norm, report.lr,
                     speed_.per_second(speed_.tokens), speed_.seconds_left(report),
                     speed_.per_second(speed_.flops) / gemm_flops_, share_});
}

void ItemReport::outcomes(const std::vector<Outcome>& all, size_t member) {
  for (const auto& [tag, step, value] : all) metrics_[member]->event(tag, step, value);
  metrics_[member]->flush();
}

void ItemReport::scored(int64_t done, int64_t all) {
  const double share = static_cast<double>(done) / static_cast<double>(std::max<int64_t>(1, all));
  if (share_at_start_ < 0) share_at_start_ = share;
  share_ = share;
  journal_.progress({.item = item_, .phase = "score", .step = done, .steps = all, .share = share});
}

void ItemReport::say(const std::string& text) { journal_.event("note", item_, "", text); }

void write_events(const std::filesystem::path& run_dir, const std::string& name,
                  const std::vector<ItemReport::Outcome>& all) {
  const auto folder = run_dir / "tensorboard" / name;
  try {
    std::filesystem::remove_all(folder);
    TensorboardWriter events(folder);
    for (const auto& [tag, step, value] : all) events.scalar(tag, step, value, wall_seconds());
    events.flush();
  } catch (const std::exception& error) {  // another job of this run may write them at the same time
    log::warning("{}: cannot be written ({}); no result needs it", folder.string(), error_text(error));
  }
}

}  // namespace gaggle
