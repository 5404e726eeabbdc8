// A worker: a group of ranks that takes items by lease, does them and commits them. Its first rank holds the leases and
// writes the reports; the others follow it.
#pragma once

#include "coordinator/queue.h"
#include "job/job.h"
#include "job/speeds.h"

namespace gaggle {

// Whether a rank of this group was given up. Asks for some seconds, as what MPI throws may come before the watchdog
// knows.
bool lost_a_rank(Communicator& group);

struct Worker {
  const JobContext& context;
  const Job& job;
  Communicator& group;
  Journal* journal = nullptr;                   // of the group's first rank
  WorkQueue* queue = nullptr;                   // likewise
  std::map<std::string, KnownSpeed> seen = {};  // by kind of work: what is not kept yet

  // Takes items until there are none; returns how it was stopped, if it was. Throws SystemError where the group has
  // lost a rank, and OtherMachine; the item is given back first.
  std::optional<Exit> work();

 private:
  std::optional<Exit> take_items();
  std::optional<Exit> one(size_t item, int generation, std::optional<Taken> taken);
  void commit(const WorkItem& work, const Commit& commit, Taken& taken);
  void note_speed(size_t item, double begun, const std::optional<ItemReport>& report, bool whole);
  void failed(const WorkItem& work, std::optional<Taken> taken, const std::string& reason, bool final);
};

}  // namespace gaggle
