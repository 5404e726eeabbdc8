#include "doctor/rank_facts.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/control_group.h"
#include "base/json.h"
#include "base/process.h"
#include "base/table.h"
#include "cluster/cores.h"

namespace gaggle {
namespace fs = std::filesystem;

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GpuFacts, name, uuid, pci, computes, memory_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ComputeRate, flops_per_s, hardware)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RankFacts, host, kernel, processor, cores, load, allowed_cores, mask, quota_cores,
                                   quota_group, memory_bytes, available_bytes, open_files, locked_bytes, infiniband,
                                   temporary, temporary_free_bytes, shared_memory_free_bytes, gaggle, libtorch, mpi,
                                   nccl, config, threads, has_gpu, gpu, gpus, fp32, bf16)

namespace {

uint64_t soft_limit(auto resource) {
  rlimit found{};
  if (::getrlimit(resource, &found) != 0 || found.rlim_cur == RLIM_INFINITY) return no_limit;
  return found.rlim_cur;
}

uint64_t free_bytes(const fs::path& folder) {
  std::error_code unknown;
  const fs::space_info space = fs::space(folder, unknown);
  return unknown ? 0 : space.available;
}

}  // namespace

RankFacts host_facts() {
  RankFacts facts;
  facts.host = this_process().host;
  utsname system{};
  if (::uname(&system) == 0) facts.kernel = fmt::format("{} {}", system.sysname, system.release);
  facts.processor = processor_name();
  facts.cores = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  facts.load = host_load().threads;
  facts.allowed_cores = affinity_cores();
  const std::set<int> cores = allowed_core_numbers();
  facts.mask = ranges_text({cores.begin(), cores.end()}, 2, ",");
  const CpuQuota quota = cpu_quota();
  facts.quota_cores = quota.cores;
  facts.quota_group = quota.group;
  const HostMemory memory = host_memory();
  facts.memory_bytes = memory.all;
  facts.available_bytes = memory.available;
  facts.open_files = soft_limit(RLIMIT_NOFILE);
  facts.locked_bytes = soft_limit(RLIMIT_MEMLOCK);
  std::error_code none;
  facts.infiniband = fs::exists("/sys/class/infiniband", none) && !fs::is_empty("/sys/class/infiniband", none);
  const char* temporary = std::getenv("TMPDIR");
  facts.temporary = temporary && *temporary ? temporary : "/tmp";
  facts.temporary_free_bytes = free_bytes(facts.temporary);
  facts.shared_memory_free_bytes = free_bytes("/dev/shm");
  return facts;
}

std::vector<RankFacts> gather_facts(Communicator& world, const RankFacts& mine) {
  std::vector<RankFacts> all;
  for (const std::string& text : world.all_gather_text(nlohmann::json(mine).dump()))
    all.push_back(parse_json(text).get<RankFacts>());
  return all;
}

std::vector<std::string> hosts_of(const std::vector<RankFacts>& ranks) {
  std::vector<std::string> hosts;
  for (const RankFacts& rank : ranks) hosts.push_back(rank.host);
  return hosts;
}

}  // namespace gaggle
