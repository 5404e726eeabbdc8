// What every rank knows of its host, versions, config and devices; brought together for the doctor.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "job/session.h"
#include "cluster/host_facts.h"
#include "kernel/gpus.h"

namespace gaggle {

struct RankFacts {
  HostFacts host;
  std::string gaggle, libtorch, mpi;          // versions
  std::map<std::string, std::string> config;  // key → value as TOML; empty without a config
  int threads = 1;
  bool has_gpu = false;  // computes on it
  int gpu = 0;           // which of gpus
  std::vector<GpuFacts> gpus;
  double fp32_flops = 0, bf16_flops = 0;  // per second, while all ranks compute
};

// Collective; by rank. given: the user's config, nullptr without one.
std::vector<RankFacts> gather_facts(const Session& session, const Config* given);

std::vector<std::string> hosts_of(const std::vector<RankFacts>& ranks);

}  // namespace gaggle
