// The life of an MPI job, from its first rank's start to every rank's goodbye; the same in a build without MPI.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"
#include "comm/watch.h"

namespace gaggle {

std::string mpi_library_version();  // "Open MPI 5.0.11 (ULFM)", or "no MPI"

// The world of mpirun / srun. Initialises MPI at the first call (MPI_THREAD_MULTIPLE demanded), and starts the
// watchdog, for which the deadlines of that call count. Throws UserError in a build without MPI.
std::unique_ptr<Communicator> make_mpi_world(Deadlines deadlines);
bool mpi_is_running();

// From here on the ranks do not need each other, or can cope with verbs that throw where one was lost: where
// MPI can survive deaths (mpirun --with-ft ulfm), who dies or stands still is given up and the others go on;
// elsewhere nothing changes. To be called on every rank.
void survive_losses();
// Ranks of the world that were given up so far, as far as this rank knows.
std::vector<int> lost_ranks();

// Every rank's goodbye, with what became of it: to be called once, as the last thing, also after an error
// (others that wait for this rank then throw SystemError). Rank 0 waits for all, leaves last, and returns the
// worst code of any rank; the others return Exit::done, because mpirun kills the rest of a job when one rank
// exits otherwise. said: this rank has written `message` itself; what ranks have not said, rank 0 writes.
// Does nothing where MPI never started. After it the process is to be left by _exit: a lost rank may be waited
// for otherwise.
Exit finish_mpi(Exit code = Exit::done, const std::string& message = "", bool said = true);
// Writes the message and ends the whole job within seconds, as the verbs do at their deadline.
[[noreturn]] void end_mpi_job(const std::string& message);

// Longer messages travel in pieces; MPI counts in int.
void set_mpi_chunk_bytes_for_test(size_t bytes);

}  // namespace gaggle
