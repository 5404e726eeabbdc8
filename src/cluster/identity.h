// Who am I: rank and host, from Open MPI's, PMIx's or Slurm's environment, or alone.
#pragma once

#include <string>

namespace gaggle {

struct Identity {
  int rank = 0;
  int size = 1;
  int local_rank = 0;  // among the ranks of this host
  int local_size = 1;
  std::string launcher;  // "mpirun", "srun", "none"
  std::string host;
  int shell_of_tasks = 0;           // this process is alone in the shell of a Slurm job of so many tasks; 0: it is not
  std::string worker_name() const;  // "host-PID", unique among live processes of one cluster
};

// Reads the environment only. With `independent`, alone whatever the launcher says. Throws UserError for one
// rank under SLURM_NTASKS > 1 without PMIx, with the two ways out; unless it runs in the shell of salloc or in a batch
// script, where srun has started nothing, and `shell_will_do`.
Identity identify(bool independent, bool shell_will_do = false);

// This process' number as its launcher gave it, also where identify() would refuse; 0 without a launcher.
int launched_rank();

}  // namespace gaggle
