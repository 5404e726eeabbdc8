// What goes on in a folder of work (a registry, or a part of a run folder), for anybody who looks: from the
// lists of items, leases, journals and what was set aside. Nothing is written.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/journal.h"
#include "coordinator/lease.h"
#include "coordinator/plan.h"

namespace gaggle {

struct ItemStatus {
  WorkItem item;
  ItemState state = ItemState::open;
  std::string note;      // done: the version; aside: the reason
  bool running = false;  // held by a worker that lives; without it a held item's worker looks dead
  LeaseRecord holder;    // of a held item, as what follows
  int rank = 0;
  WorkerProgress progress;  // as its worker last said
  double since_s = 0;       // from taking the item to the worker's last line, by the worker's own clock
};

struct WorkStatus {
  std::filesystem::path folder;
  std::vector<ItemStatus> items;                   // in the order of the plan
  std::string last_committed, last_committed_utc;  // utc: by its worker's clock
  double seconds_left = 0;  // expected, for the workers that are there; 0: nothing is open, or nobody works
  size_t workers = 0;       // at an item: how many are running
  size_t count(ItemState state) const;
};

// One reader, that may look again and again. A worker of another host is taken for alive until its lease's
// counter or its journal has stood still for longer than a counter does.
class StatusReader {
 public:
  // `done`: a word on the result ("v0001") where there is one for the item.
  StatusReader(std::filesystem::path folder, std::function<std::optional<std::string>(const WorkItem&)> done);
  WorkStatus look();
  // After a look: some worker of another host was neither seen to move nor watched for long enough.
  bool undecided() const { return undecided_; }

 private:
  struct Watched {
    std::string content;
    double since = 0;
    bool moved = false;
  };
  std::vector<WorkItem> current_items(const std::vector<WorkerStatus>& workers) const;
  bool lives(const ProcessId& process, const std::string& name, const std::string& content);
  void judge(ItemStatus& status, const std::map<std::string, int>& leases, const std::vector<WorkerStatus>& workers);
  std::filesystem::path folder_;
  std::function<std::optional<std::string>(const WorkItem&)> done_;
  JournalReader journals_;
  std::map<std::string, Watched> watched_;
  bool undecided_ = false;
};

}  // namespace gaggle
