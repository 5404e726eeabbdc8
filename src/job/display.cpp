#include "job/display.h"

#include <algorithm>
#include <chrono>

#include "base/clock.h"
#include "base/log.h"
#include "base/pulse.h"
#include "base/table.h"
#include "comm/mpi_job.h"

namespace gaggle {

JobDisplay::JobDisplay(const Job& job, const std::vector<WorkItem>& open, const std::string& job_name,
                       const std::string& own_worker, int workers)
    : thing_(job.thing),
      own_worker_(own_worker),
      reader_(job.folder, job_name),
      workers_(static_cast<size_t>(workers)) {
  for (const WorkItem& item : open) {
    open_[item.key] = {item.cost};
    all_seconds_ += item.cost;
  }
  thread_ = std::jthread([this](std::stop_token stop) { follow(stop); });
}

void JobDisplay::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  if (open_.empty()) return;
  const bool all = committed_ == open_.size();
  live_.end(fmt::format("{} of {} done{} in {}", committed_, plural(static_cast<int64_t>(open_.size()), thing_),
                        all ? "" : " by this job", time_text(monotonic_seconds() - begun_)));
}

void JobDisplay::wait_for_workers(double patience_s) {
  constexpr double say_after_s = 5;
  for (bool said = false;;) {
    size_t known = 0, finished = 0;
    double silence = 0;
    std::string silent;
    {
      const std::lock_guard lock(mutex_);
      const std::vector<int> lost = lost_ranks();
      for (const WorkerStatus& worker : reader_.workers()) {
        const bool gone =
            worker.finished || worker.worker == own_worker_ || std::ranges::find(lost, worker.rank) != lost.end();
        ++known;
        finished += gone;
        if (!gone && worker.silent_s > silence) silence = worker.silent_s, silent = worker.worker;
      }
    }
    if ((finished == known && known >= workers_) || silence >= patience_s) return;
    if (silence >= say_after_s && !said) {
      log::info("waiting for {}, silent for {:.0f} s; not waited for after {:g} s", silent, silence, patience_s);
      said = true;
    }
    pulse();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

void JobDisplay::follow(std::stop_token stop) {
  while (!stop.stop_requested()) {
    draw();
    // At most 200 journals a second are opened, however many workers there are: they lie on a shared folder.
    const auto pause = std::chrono::duration<double>(std::max(0.2, static_cast<double>(workers_) / 200));
    std::this_thread::sleep_for(pause);
  }
  draw();
}

double JobDisplay::share_done(const std::vector<WorkerStatus>& at_work) const {
  double done = 0;
  for (const auto& [key, item] : open_) done += item.done ? item.seconds : 0;
  for (const WorkerStatus& worker : at_work) {
    const OpenItem& item = open_.at(worker.key);
    // Of an item that tells nothing on its way, as long as it was expected to take it is not done.
    const double by_time = std::min(0.95 * item.seconds, monotonic_seconds() - item.begun);
    done += worker.progress.step > 0 ? item.seconds * worker.progress.share : by_time;
  }
  return all_seconds_ > 0 ? done / all_seconds_ : 0;
}

void JobDisplay::say_what_is_new() {
  const std::vector<JournalEvent>& events = reader_.events();
  for (; events_said_ < events.size(); ++events_said_) {
    const JournalEvent& event = events[events_said_];
    if (event.kind == "note") live_.say(event.detail);
    const auto item = open_.find(event.key);
    if (event.kind != "committed" || item == open_.end()) continue;
    item->second.done = true;
    ++committed_;
    if (!event.detail.empty()) live_.say(fmt::format("{} committed as {}", event.item, event.detail));
  }
}

void JobDisplay::draw() {
  const std::lock_guard lock(mutex_);
  reader_.poll();
  say_what_is_new();
  std::vector<WorkerStatus> at_work;
  for (const WorkerStatus& worker : reader_.workers()) {
    const auto item = open_.find(worker.key);
    if (worker.finished || item == open_.end() || item->second.done) continue;
    if (item->second.begun < 0) item->second.begun = monotonic_seconds();
    at_work.push_back(worker);
  }
  if (at_work.empty() && !pace_) return;  // nothing has begun
  const double share = share_done(at_work);
  if (!pace_) pace_.emplace(all_seconds_ / static_cast<double>(workers_));
  live_.draw(at_work, share,
             fmt::format("{} of {} · {} left", committed_, plural(static_cast<int64_t>(open_.size()), thing_),
                         time_text(pace_->seconds_left(share))));
}

}  // namespace gaggle
