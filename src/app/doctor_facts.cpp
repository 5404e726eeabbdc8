#include "app/doctor_facts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "job/machine.h"
#include "config/schema.h"

namespace gaggle {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(HostFacts, host, kernel, processor, cores, allowed_cores, mask, memory_bytes,
                                   available_bytes, open_files, locked_bytes, infiniband, temporary,
                                   temporary_free_bytes, shared_memory_free_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GpuFacts, name, uuid, pci, computes, memory_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RankFacts, host, gaggle, libtorch, mpi, config, threads, has_gpu, gpu, gpus,
                                   fp32_flops, bf16_flops)

std::vector<RankFacts> gather_facts(const Session& session, const Config* given) {
  RankFacts mine;
  mine.host = host_facts();
  mine.gaggle = GAGGLE_VERSION;
  mine.libtorch = GAGGLE_TORCH_VERSION;
  mine.mpi = mpi_library_version();
  if (given) {
    Config config = *given;
    for (const Key& key : config_keys()) mine.config[key.full()] = toml_text(key.field(config));
  }
  mine.threads = session.threads;
  mine.has_gpu = !session.device.is_cpu();
  mine.gpu = session.device.is_cpu() ? 0 : session.device.index();
  mine.gpus = visible_gpus();
  // Twice: what else runs on a host for a moment must not make it look odd.
  for (int round = 0; round < 2; ++round) {
    mine.fp32_flops = std::max(mine.fp32_flops, measure_together(session, at::kFloat));
    mine.bf16_flops = std::max(mine.bf16_flops, measure_together(session, at::kBFloat16));
  }
  std::vector<RankFacts> all;
  for (const std::string& text : session.world->all_gather_text(nlohmann::json(mine).dump()))
    all.push_back(nlohmann::json::parse(text).get<RankFacts>());
  return all;
}

std::vector<std::string> hosts_of(const std::vector<RankFacts>& ranks) {
  std::vector<std::string> hosts;
  for (const RankFacts& rank : ranks) hosts.push_back(rank.host.host);
  return hosts;
}

}  // namespace gaggle
