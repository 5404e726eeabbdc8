// A lease file's bytes: a first line of fixed width that its holder rewrites in place (counter, state), then
// one line of JSON that never changes (who made it).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/process.h"

namespace gaggle {

struct LeaseRecord {
  uint64_t counter = 0;
  bool released = false;
  std::string nonce;  // of the attempt that made the file: a lost reply is recognised by it
  std::string worker;
  ProcessId process;
  std::string job;   // Slurm job id, or mpirun's namespace; "" without one
  int restarts = 0;  // SLURM_RESTART_COUNT
};

// "worker on host (job 17)", for people.
std::string holder_text(const LeaseRecord& record);

std::string first_line(uint64_t counter, bool released);
std::string lease_bytes(const LeaseRecord& record);
// nullopt: not (yet) whole. Its maker may have died before it wrote.
std::optional<LeaseRecord> parse_lease(const std::string& bytes);

// This process' record, but for counter, nonce and worker.
LeaseRecord own_record();
// True when the holder is certainly gone: a process of this host that ended, or an earlier start of our Slurm job.
bool certainly_dead(const LeaseRecord& holder, const LeaseRecord& self);

}  // namespace gaggle
