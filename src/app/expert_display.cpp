#include "app/expert_display.h"

#include <algorithm>
#include <chrono>

#include "app/estimate.h"
#include "base/pulse.h"
#include "base/table.h"
#include "comm/mpi_job.h"

namespace gaggle {
namespace {

double samples(const PhaseSettings& phase) {
  return static_cast<double>(phase.schedule.steps * phase.batch_size);
}

Progress as_progress(const WorkerStatus& worker) {
  const WorkerProgress& p = worker.progress;
  return {fmt::format("rank {}", worker.rank),
          p.item,
          p.phase,
          p.step,
          p.steps,
          p.loss,
          p.grad_norm,
          p.lr,
          p.tokens_per_s,
          p.gemm_share,
          p.seconds_left};
}

}  // namespace

ExpertDisplay::ExpertDisplay(const ExpertJob& job, const std::filesystem::path& registry,
                             const std::string& job_name)
    : reader_(registry, job_name), live_(stdout), workers_(static_cast<double>(worker_count(job))) {
  for (const ExpertItem& item : job.items) {
    if (!item.version.empty()) continue;
    const double lora = item.recipe.train_lora ? samples(item.recipe.lora) : 0;
    costs_[item.name] = {item_seconds(item, job), lora, lora + samples(item.recipe.gate), false};
    all_seconds_ += costs_[item.name].seconds;
  }
  thread_ = std::jthread([this](std::stop_token stop) { follow(stop); });
}

void ExpertDisplay::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void ExpertDisplay::wait_for(size_t workers, double patience_s) {
  for (;;) {
    size_t known = 0, finished = 0;
    double silence = 0;
    {
      const std::lock_guard lock(mutex_);
      const std::vector<int> lost = lost_ranks();
      for (const WorkerStatus& worker : reader_.workers()) {
        const bool gone = worker.finished || std::ranges::find(lost, worker.rank) != lost.end();
        ++known;
        finished += gone;
        if (!gone) silence = std::max(silence, worker.silent_s);
      }
    }
    if ((finished == known && known >= workers) || silence >= patience_s) return;
    pulse();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

void ExpertDisplay::follow(std::stop_token stop) {
  while (!stop.stop_requested()) {
    draw();
    // At most 200 journals a second are opened, however many workers there are: they lie on a shared folder.
    const auto pause = std::chrono::duration<double>(std::max(0.2, workers_ / 200));
    std::this_thread::sleep_for(pause);
  }
  draw();
}

double ExpertDisplay::share_done(const std::vector<WorkerStatus>& workers) const {
  double done = 0;
  for (const auto& [name, cost] : costs_) {
    if (cost.done) done += cost.seconds;
  }
  for (const WorkerStatus& worker : workers) {
    const auto cost = costs_.find(worker.progress.item);
    if (worker.finished || cost == costs_.end() || cost->second.done || worker.progress.steps == 0) continue;
    const auto& [seconds, lora_rows, all_rows, committed] = cost->second;
    const double of_phase =
        static_cast<double>(worker.progress.step) / static_cast<double>(worker.progress.steps);
    const double rows =
        worker.progress.phase == "gate" ? lora_rows + of_phase * (all_rows - lora_rows) : of_phase * lora_rows;
    done += seconds * rows / std::max(1.0, all_rows);
  }
  return all_seconds_ > 0 ? done / all_seconds_ : 0;
}

std::string ExpertDisplay::time_left(double share) {
  if (!pace_) pace_.emplace(all_seconds_ / workers_);
  return time_text(pace_->seconds_left(share)) + " left";
}

void ExpertDisplay::draw() {
  const std::lock_guard lock(mutex_);
  reader_.poll();
  const auto committed = reader_.events("committed");
  for (; committed_ < committed.size(); ++committed_) {
    const JournalEvent& event = committed[committed_];
    const auto cost = costs_.find(event.item);
    if (cost != costs_.end()) cost->second.done = true;
    // A terminal shows the closing table instead: nothing should scroll there.
    if (!live_.terminal()) live_.say(fmt::format("{} committed as {}", event.item, event.detail));
  }
  const auto workers = reader_.workers();
  std::vector<Progress> lines;
  for (const WorkerStatus& worker : workers) {
    const auto cost = costs_.find(worker.progress.item);
    if (!worker.finished && worker.progress.steps > 0 && cost != costs_.end() && !cost->second.done)
      lines.push_back(as_progress(worker));
  }
  const double share = share_done(workers);
  if (!lines.empty())
    live_.draw(lines, share,
               fmt::format("{} of {} experts · {}", committed.size(), costs_.size(), time_left(share)));
}

}  // namespace gaggle
