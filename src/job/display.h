// The live view of a job's first rank, drawn from the journals of all its workers by a thread of its own.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "job/job.h"
#include "report/live.h"

namespace gaggle {

class JobDisplay {
 public:
  // `job_name`: as the workers' journals have it. `own_worker`: of this process. `open`: the items that are still to be
  // done.
  JobDisplay(const Job& job, const std::vector<WorkItem>& open, const std::string& job_name,
             const std::string& own_worker, int workers);
  ~JobDisplay() { stop(); }

  // Waits until all other workers have said goodbye, but not for one that has been silent for `patience_s`: their
  // items are this job's too.
  void wait_for_workers(double patience_s);
  // The view ends with a line that says what was done.
  void stop();
  const std::vector<JournalEvent>& events() const { return reader_.events(); }  // after stop()

 private:
  struct OpenItem {
    double seconds = 0;  // expected
    bool done = false;
    double begun = -1;  // monotonic seconds when somebody was first seen at it; -1: nobody yet
  };
  void follow(std::stop_token stop);
  void draw();
  void say_what_is_new();
  double share_done(const std::vector<WorkerStatus>& at_work) const;
  std::string thing_, own_worker_;
  JournalReader reader_;
  LiveView live_;
  size_t workers_;
  std::map<std::string, OpenItem> open_;  // by key
  double all_seconds_ = 0, begun_ = monotonic_seconds();
  std::optional<Pace> pace_;
  size_t events_said_ = 0, committed_ = 0;
  std::mutex mutex_;
  std::jthread thread_;
};

}  // namespace gaggle
