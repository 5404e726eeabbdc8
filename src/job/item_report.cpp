#include "job/item_report.h"

#include <algorithm>

namespace gaggle {

ItemReport::ItemReport(Journal& journal, std::string item, double gemm_flops)
    : journal_(journal), item_(std::move(item)), gemm_flops_(std::max(1.0, gemm_flops)) {}

void ItemReport::open_metrics(const std::filesystem::path& run_dir, bool tensorboard, PhaseCosts phases) {
  metrics_.emplace(run_dir, item_, tensorboard);
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

void ItemReport::step(const StepReport& report, const Metrics& more) {
  if (report.phase != phase_) speed_ = {}, phase_ = report.phase;
  speed_.add(report);
  if (share_at_start_ < 0) share_at_start_ = share_done(report, report.step - 1);
  share_ = share_done(report, report.step);
  journal_.progress({item_, report.phase, report.step, report.steps, report.loss, report.grad_norm, report.lr,
                     speed_.per_second(speed_.tokens), speed_.seconds_left(report),
                     speed_.per_second(speed_.flops) / gemm_flops_, share_});
  Metrics values = step_values(report);
  if (report.validation_loss) values.emplace_back("validation_loss", *report.validation_loss);
  values.insert(values.end(), more.begin(), more.end());
  metrics_->write(report.phase, report.step, values);
  if (report.step == 1 || report.step == report.steps || report.validation_loss) metrics_->flush();
}

void ItemReport::scored(int64_t done, int64_t all) {
  const double share = static_cast<double>(done) / static_cast<double>(std::max<int64_t>(1, all));
  if (share_at_start_ < 0) share_at_start_ = share;
  share_ = share;
  journal_.progress({.item = item_, .phase = "score", .step = done, .steps = all, .share = share});
}

void ItemReport::say(const std::string& text) { journal_.event("note", item_, "", text); }

}  // namespace gaggle
