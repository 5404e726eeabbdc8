// Heartbeats of every rank to rank 0, on a communicator of their own, by a thread of each rank that never
// blocks inside MPI. On expiry every rank writes its record, rank 0 says who is missing, and the job ends.
#pragma once

#include <mpi.h>

#include <memory>
#include <set>

#include "comm/record.h"
#include "comm/watch.h"

namespace gaggle::mpi {

class Watchdog {
 public:
  // Duplicates MPI_COMM_WORLD; collective. `record`: of this rank.
  Watchdog(Deadlines deadlines, std::shared_ptr<RankRecord> record);
  ~Watchdog();  // stops the thread
  // This rank has said goodbye: it may stand still.
  void leaving();
  // From here on who dies or stands still is given up, and the others go on. For ranks that do not need each
  // other. To be called on every rank.
  void survive_losses();
  // Ranks that are known to be dead, or were given up. Rank 0 knows first.
  std::set<int> lost() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gaggle::mpi
