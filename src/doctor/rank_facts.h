// What every rank knows of its host, versions, config and devices; brought together for the doctor.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "kernel/gpus.h"

namespace gaggle {

constexpr uint64_t no_limit = std::numeric_limits<uint64_t>::max();

// The rate of matrix products while all ranks compute.
struct ComputeRate {
  double flops_per_s = 0;
  std::string hardware;  // "cpu bf16 (AMX)"
};

struct RankFacts {
  std::string host;
  std::string kernel;                              // "Linux 6.1.0"
  std::string processor;                           // "Intel(R) Xeon(R) …"
  int cores = 1;                                   // of the host
  double load = 0;                                 // threads that want to run there, over the last minute
  int allowed_cores = 1;                           // in this process' affinity mask
  std::string mask;                                // "0-3,8"
  double quota_cores = 0;                          // of processor time, shared by the control group; 0: none
  std::string quota_group;                         // which group that is
  uint64_t memory_bytes = 0, available_bytes = 0;  // the host's, or what a control group leaves of it
  uint64_t open_files = no_limit;                  // soft limits of this process
  uint64_t locked_bytes = no_limit;
  bool infiniband = false;  // there is such a device: its messages want locked memory
  std::string temporary;    // TMPDIR or /tmp: where MPI keeps its session
  uint64_t temporary_free_bytes = 0;
  uint64_t shared_memory_free_bytes = 0;  // /dev/shm: how ranks of a host talk

  std::string gaggle, libtorch, mpi, nccl;    // versions; of NCCL "NCCL 2.27.7", or why there is none
  std::map<std::string, std::string> config;  // key → value as TOML; empty without a config
  int threads = 1;
  bool has_gpu = false;        // whether the rank computes on a GPU
  int gpu = 0;                 // which of `gpus`
  std::vector<GpuFacts> gpus;  // that the rank sees
  ComputeRate fp32, bf16;
};

// Filled in from `host` to `shared_memory_free_bytes`.
RankFacts host_facts();

// Every rank's facts, in rank order. Collective.
std::vector<RankFacts> gather_facts(Communicator& world, const RankFacts& mine);

std::vector<std::string> hosts_of(const std::vector<RankFacts>& ranks);

}  // namespace gaggle
