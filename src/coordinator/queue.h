// The work queue of a job: items taken by lease from a folder that several processes and jobs share (a
// registry, or a run folder). No message passes between workers:
// the files, described in docs/registry.md, are the queue.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/attempts.h"
#include "coordinator/lease.h"
#include "coordinator/plan.h"

namespace gaggle {

// An item this worker holds. Dropping it gives it back as it stands (open for anybody, checkpoints kept).
struct Taken {
  WorkItem item;
  int generation = 0;  // work/items/KEY/GEN is made: for checkpoints of this attempt
  std::unique_ptr<Lease> lease;
};

struct QueueOptions {
  std::filesystem::path folder;  // the registry, or a run folder
  std::string worker;            // names this worker; one queue per worker
  double lease_s = 120;
  WaitFor wait = WaitFor::nobody;             // who holds the items for which it stays
  bool retry = false;                         // take up items that were set aside
  double say_after_s = 5;                     // who waits this long says for whom, and again now and then; 0: never
  std::function<bool(const WorkItem&)> done;  // is there a result that carries the key?
  std::function<bool()> stop;                 // asked while waiting; true: next() returns nothing
  std::shared_ptr<LeaseFiles> files;          // tests only
};

class WorkQueue {
 public:
  WorkQueue(QueueOptions options, std::vector<WorkItem> items);

  // The longest open item, leased; nothing when all items are done, set aside, or held by live others that are not waited
  // for (`wait`), or when `stop` says so. Before it leaves a held item to its holder it has seen that the holder lives;
  // a holder that does not loses it after lease_s.
  std::optional<Taken> next();

  // Before the commit: false once somebody took the item over (drop the result).
  bool still_mine(const Taken& taken) const { return taken.lease->still_mine(); }
  // The result is in place: the item's checkpoints are removed, the lease is released.
  void finish(Taken taken);
  // The attempt failed: the item is open once more, or set aside with the reason when it failed before or
  // `final` (a non-finite loss: a retry would repeat it). Returns true if it was set aside.
  bool fail(Taken taken, const std::string& reason, bool final = false);
  // Stopped early: checkpoints stay, anybody may go on at once.
  void give_back(Taken taken) { taken.lease->release(); }

  const Plan& plan() const { return plan_; }
  const std::string& list() const { return list_; }  // digest of the published list of all items
  bool all_done();                                   // a fresh look: every item done
  std::vector<PlannedItem> left() const;             // neither done nor set aside at the last look; note: the holder
  std::vector<PlannedItem> set_aside() const;        // note: the reason

 private:
  void refresh();  // looks at every item
  void say_who_is_waited_for(double waited_s);
  TakeResult try_take(const WorkItem& item, std::optional<Taken>& taken);
  // Done or set aside, or nothing: it may be taken, if nobody holds it.
  std::optional<TakeResult> settled(const WorkItem& item);
  TakeResult held_or_open(const std::string& key) const;  // from the last look at its lease
  bool set_aside_for_loss(const WorkItem& item, const Lease& lease);
  void set_aside(const WorkItem& item, const std::string& reason);
  QueueOptions options_;
  std::string list_;
  Plan plan_;
  LeaseTable leases_;
};

}  // namespace gaggle
