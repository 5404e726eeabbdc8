// The live table of a job's first rank, drawn from the journals of all its workers by a thread of its own.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "app/expert_job.h"
#include "coordinator/journal.h"
#include "report/live.h"
#include "report/progress.h"

namespace gaggle {

class ExpertDisplay {
 public:
  // `job_name`: as the workers' journals have it. Seconds of an item weigh it in the bar.
  ExpertDisplay(const ExpertJob& job, const std::filesystem::path& registry, const std::string& job_name);
  ~ExpertDisplay() { stop(); }

  // The other workers' items are this job's too: waits until `workers` have said goodbye, but not for one that
  // has been silent for `patience_s`.
  void wait_for(size_t workers, double patience_s);
  void stop();
  const std::vector<JournalEvent>& events() const { return reader_.events(); }  // after stop()

 private:
  struct Cost {
    double seconds = 0;                  // expected
    double lora_rows = 0, all_rows = 0;  // samples of the LoRA's steps, of both phases
    bool done = false;
  };
  void follow(std::stop_token stop);
  void draw();
  double share_done(const std::vector<WorkerStatus>& workers) const;
  std::string time_left(double share);
  JournalReader reader_;
  LiveView live_;
  double workers_;
  double all_seconds_ = 0;
  std::optional<Pace> pace_;
  size_t committed_ = 0;               // said so far
  std::map<std::string, Cost> costs_;  // of what is to train, by name
  std::mutex mutex_;
  std::jthread thread_;
};

}  // namespace gaggle
