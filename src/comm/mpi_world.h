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
std::map<int, Goodbye> goodbyes();

}  // namespace gaggle::mpi
