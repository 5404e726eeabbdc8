// The process' share of MPI's world: started once, left once, and the word that a rank has left.
#pragma once

#include <mpi.h>

#include <map>
#include <optional>
#include <string>

#include "base/error.h"

namespace gaggle::mpi {

struct Goodbye {
  Exit code = Exit::done;
  std::string message;
  bool said = true;  // its rank has written the message itself
};

// MPI_COMM_WORLD's duplicate for the collectives; starts MPI at the first call.
MPI_Comm start();
// Ranks of the world that have said goodbye so far, as far as their word has come.
const std::map<int, Goodbye>& goodbyes();
// Writes the message and ends the whole job: MPI_Abort from a helper thread, after 3 s SIGKILL.
[[noreturn]] void end_job(const std::string& message);

}  // namespace gaggle::mpi
