// What workers report: one JSON-lines file per worker, work/journal/WORKER.jsonl, appended to by its one
// writer. The reader draws the live table from them; nothing that decides the work depends on them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <ios>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/process.h"

namespace gaggle {

// Where a worker stands.
struct WorkerProgress {
  std::string item;   // name for people
  std::string phase;  // "lora", "gate", "validate", …
  int64_t step = 0, steps = 0;
  double loss = 0, grad_norm = 0, lr = 0;
  double tokens_per_s = 0;
  double seconds_left = 0;  // of the phase
  double gemm_share = 0;    // useful FLOP/s as a share of the GEMM rate measured at the start; 0: not measured
  double share = 0;         // of the whole item: done so far
};

struct JournalEvent {
  std::string worker, kind;  // started | taken | committed | failed | aside | note | finished
  int rank = 0;
  std::string item, key, detail;  // detail: a word on the result, the reason, what a note says
  double seconds = 0;             // since the worker started
  std::string utc;                // on the clock of its host: for people
};

// What the reader knows of one worker.
struct WorkerStatus {
  std::string worker;
  int rank = 0;
  WorkerProgress progress;
  bool finished = false;  // it said goodbye
  std::string job;        // as its journal has it
  std::string items;      // digest of the list of what its job is to do (item_list.h)
  ProcessId process;
  std::string key;      // of the item that it took last and has not finished; "": none
  double taken_at = 0;  // when, in its own seconds
  double seconds = 0;   // of its last line
  int64_t lines = 0;    // whole lines so far
  double silent_s = 0;  // since its last new line, on the reader's monotonic clock
};

class Journal {
 public:
  // `folder`: registry or run folder. `job` is the same for all workers of one job and differs between jobs.
  // `items`: digest of the list of its items.
  Journal(const std::filesystem::path& folder, const std::string& worker, const std::string& job, int rank,
          const std::string& items = "");
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  void progress(const WorkerProgress& progress);
  void event(const std::string& kind, const std::string& item, const std::string& key = "",
             const std::string& detail = "");

 private:
  void write(nlohmann::ordered_json line);
  std::filesystem::path path_;
  int fd_ = -1;
  std::string worker_;
  int rank_;
  double started_;
  bool warned_ = false;
};

// Follows the journals of one job, or of all (`job` is ""); every call reads only what is new. Lines that are
// cut short (a killed worker) are left alone.
class JournalReader {
 public:
  JournalReader(const std::filesystem::path& folder, std::string job);
  void poll();
  std::vector<WorkerStatus> workers() const;                           // in order of rank, then name
  const std::vector<JournalEvent>& events() const { return events_; }  // in each worker's order

 private:
  struct File {
    size_t read = 0;      // bytes consumed: whole lines
    bool of_job = false;  // the last "started" was of our job
    double heard = 0;
    WorkerStatus status;
  };
  void read(const std::filesystem::path& path, File& file);
  void take(File& file, const nlohmann::json& line);
  std::filesystem::path folder_;
  std::string job_;
  std::map<std::filesystem::path, File> files_;
  std::vector<JournalEvent> events_;
};

}  // namespace gaggle
