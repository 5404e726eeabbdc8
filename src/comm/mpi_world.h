// The process' share of MPI's world: started once, left once, and the word that a rank has left.
#pragma once

#include <mpi.h>

#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/error.h"
#include "comm/watch.h"

namespace gaggle::mpi {

struct Goodbye {
  Exit code = Exit::done;
  std::string message;
  bool said = true;  // its rank has written the message itself
};

struct Started {
  MPI_Comm comm;  // MPI_COMM_WORLD's duplicate for the collectives
  std::shared_ptr<RankRecord> record;
};
// Starts MPI and the watchdog at the first call, whose deadlines count.
Started start(Deadlines deadlines);
// Ranks of the world that have said goodbye so far, as far as their word has come.
std::map<int, Goodbye> goodbyes();

// Whether the launcher leaves the others alive when a rank dies (mpirun --with-ft ulfm).
bool survives_deaths();
// Ranks of the communicator that are known to be dead; receives from any rank go on without them. Empty where
// deaths are not survived.
std::set<int> failed_ranks(MPI_Comm comm);

}  // namespace gaggle::mpi
