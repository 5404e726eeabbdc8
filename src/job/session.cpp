#include "job/session.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "cluster/cores.h"
#include "cluster/device_claim.h"
#include "cluster/stop.h"
#include "comm/mpi_job.h"
#include "comm/record_file.h"
#include "config/read.h"
#include "job/placement.h"
#include "kernel/dispatch.h"
#include "kernel/gpus.h"
#include "model/memory.h"

namespace gaggle {
namespace {

bool speaks_mpi(const Config& config, const Identity& identity) {
  if (config.comm.backend == "self" && identity.size > 1)
    user_error("comm.backend = \"self\", but {} started {} ranks: use \"auto\", or cluster.independent = true",
               identity.launcher, identity.size);
  return config.comm.backend == "mpi" || config.comm.backend == "nccl" || identity.launcher == "mpirun" ||
         identity.launcher == "srun";
}

// Ranks whose masks overlap share the cores; a launcher that bound each rank to its own has divided them. Ranks of one
// control group share its quota, bound or not.
int fair_share(const Session& session) {
  const std::set<int> mine = allowed_core_numbers();
  const CpuQuota quota = cpu_quota();
  const auto hosts = session.world->all_gather_text(session.identity.host);
  const auto masks = session.world->all_gather_text(nlohmann::json(mine).dump());
  const auto groups = session.world->all_gather_text(quota.group);
  int sharers = 0, payers = 0;
  for (size_t rank = 0; rank < masks.size(); ++rank) {
    if (hosts[rank] != session.identity.host) continue;
    const auto theirs = parse_json(masks[rank]).get<std::vector<int>>();
    sharers += std::ranges::any_of(theirs, [&](int core) { return mine.contains(core); });
    payers += groups[rank] == quota.group;
  }
  // Independent neighbours cannot be asked; they share unless the launcher left this process only a part.
  if (session.world->size() == 1 && affinity_cores() >= ::sysconf(_SC_NPROCESSORS_ONLN))
    sharers = std::max(sharers, session.identity.local_size);
  if (session.world->size() == 1) payers = std::max(payers, session.identity.local_size);
  const int share = std::max(1, affinity_cores() / std::max(1, sharers));
  return std::min(share, quota.cores_each(payers, share));
}

// The same number everywhere: results are equal bits only then.
int agreed_threads(const Config& config, const Session& session) {
  const int wanted = config.run.threads > 0 ? config.run.threads : fair_share(session);
  if (wanted > usable_cores())
    log::warning("run.threads = {}, but this rank may use {} cores only: it will be slow", wanted, usable_cores());
  std::vector<int> all(static_cast<size_t>(session.world->size()));
  session.world->all_gather(std::as_bytes(std::span(&wanted, 1)), std::as_writable_bytes(std::span(all)));
  const auto [least, most] = std::ranges::minmax_element(all);
  if (*least != *most)
    log::info("threads: ranks could use {} to {}, all use {} so that results do not depend on the rank", *least, *most,
              *least);
  return *least;
}

// Neighbours that work for themselves cannot be asked which GPU they took (a world can: connect_devices). One
// GPU that the launcher shows to this process alone is its own.
bool may_share_unasked(const Identity& identity, int devices) {
  return identity.size == 1 && identity.local_size > devices && !(devices == 1 && std::getenv("CUDA_VISIBLE_DEVICES"));
}

// For work a process that knows of no neighbour takes a GPU that nobody holds; ranks go by their number, and hold what they
// take.
int choose_gpu(const Config& config, const Identity& identity, Purpose purpose, int devices) {
  if (purpose != Purpose::work) return identity.local_rank % devices;
  std::vector<std::string> uuids;
  for (const GpuFacts& gpu : visible_gpus()) uuids.push_back(gpu.uuid);
  if (identity.local_size > 1 || uuids.empty()) {
    const int mine = identity.local_rank % devices;
    if (static_cast<size_t>(mine) < uuids.size()) claim_device({uuids[static_cast<size_t>(mine)]});
    return mine;
  }
  if (const auto free = claim_device(uuids)) return static_cast<int>(*free);
  if (!config.cluster.share_device)
    user_error(
        "other processes of gaggle hold {} of {}: wait for them, show this one another GPU "
        "(CUDA_VISIBLE_DEVICES), or set cluster.share_device = true",
        devices == 1 ? "the GPU" : fmt::format("all {} GPUs", devices), identity.host);
  return 0;
}

at::Device choose_device(const Config& config, const Identity& identity, Purpose purpose) {
  const int devices = gpu_count();
  if (config.run.device == "cpu" || (config.run.device == "auto" && devices == 0)) return at::kCPU;
  if (devices == 0)
    user_error("run.device = \"cuda\": {} shows no GPU to this build of gaggle (rank {}); use \"auto\" or \"cpu\"",
               identity.host, identity.rank);
  if (may_share_unasked(identity, devices) && !config.cluster.share_device)
    user_error("{} processes on {} have {} GPUs: start fewer, or set cluster.share_device = true", identity.local_size,
               identity.host, devices);
  return gpu_at(choose_gpu(config, identity, purpose, devices));
}

// Before the first use of a GPU: cuBLAS reads its workspace setting once.
void demand_determinism(at::Device device) {
  if (!device.is_cpu()) ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 1);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  at::globalContext().setDeterministicFillUninitializedMemory(false);
}

// Ranks of one job have one program and one config. Throws UserError that names the odd rank and what differs.
void check_ranks_alike(const Session& session, const Config& config) {
  const std::string mine = fmt::format("gaggle {}\n{}", GAGGLE_VERSION, print_config(config));
  const auto digests = session.world->all_gather_text(sha256_hex(mine));
  const auto odd = std::ranges::find_if(digests, [&](const auto& digest) { return digest != digests[0]; });
  if (odd == digests.end()) return;
  const auto rank = static_cast<size_t>(odd - digests.begin());
  const auto texts = session.world->all_gather_text(mine);
  std::istringstream first(texts[0]), other(texts[rank]);
  std::string first_line, other_line;
  while (std::getline(first, first_line) && std::getline(other, other_line) && first_line == other_line)
    first_line.clear(), other_line.clear();
  user_error(
      "rank {} has another config than rank 0: `{}` there, `{}` here. Start all ranks with the same command "
      "and the same files",
      rank, other_line, first_line);
}

// All ranks look before any takes: who shares a device (or, of processors, a host) gets an even share of the least that one
// of them saw.
int64_t share_of_memory(const Session& session) {
  const std::string place = fmt::format("{} {}", session.identity.host, session.device.str());
  int64_t least = free_memory(session.device), sharers = 0;
  for (const std::string& other : session.world->all_gather_text(fmt::format("{} {}", least, place))) {
    const size_t space = other.find(' ');
    if (other.substr(space + 1) != place) continue;
    least = std::min<int64_t>(least, std::stoll(other.substr(0, space)));
    ++sharers;
  }
  return least < 0 ? -1 : least / sharers;
}

}  // namespace

Session start_session(const Config& config, Purpose purpose) {
  Session session;
  session.identity = identify(config.cluster.independent, /*shell_will_do=*/purpose != Purpose::work);
  const Identity& me = session.identity;
  if (me.shell_of_tasks > 0)
    log::info(
        "in the shell of a Slurm job of {} tasks: this is about one process; start gaggle with srun --mpi=pmix or "
        "mpirun for all",
        me.shell_of_tasks);
  session.world =
      speaks_mpi(config, me) ? make_mpi_world({config.comm.first_timeout_s, config.comm.timeout_s}) : make_self();
  if (session.world->size() != me.size)
    user_error(
        "{} says there are {} ranks, MPI says {}: "
        "the mpirun that started gaggle is not of the MPI it was built with ({})",
        me.launcher, me.size, session.world->size(), mpi_library_version());
  session.identity.rank = session.world->rank();
  log::set_rank(me.rank);
  if (purpose != Purpose::doctor) check_ranks_alike(session, config);
  session.device = choose_device(config, me, purpose);
  demand_determinism(session.device);
  if (purpose != Purpose::doctor) connect_devices(session, config);
  session.threads = agreed_threads(config, session);
  at::set_num_threads(session.threads);
  if (purpose != Purpose::doctor) session.free_memory = share_of_memory(session);
  session.run_dir = fs::path(config.run.dir) / config.run.full_name();
  if (purpose != Purpose::doctor) set_record_folder(session.run_dir);
  return session;
}

std::optional<Exit> stopped_before_start(const Session& session, const Config& config) {
  watch_for_stop(session.run_dir, config.run.max_minutes);
  if (session.identity.rank == 0) forget_records(session.run_dir);
  const auto stop = stop_requested();
  if (stop == Exit::stopped) log::warning("{} asks to stop: remove it to go on", (session.run_dir / "STOP").string());
  return stop;
}

void make_run_folder(const Session& session, const Config& config) {
  if (session.identity.rank == 0) {
    require_writable(session.run_dir, "run.dir");
    write_file_atomic(session.run_dir / "config.toml", print_config(config));
  }
  session.world->barrier();
}

void end_session(Session& session) { session.world.reset(); }

}  // namespace gaggle
