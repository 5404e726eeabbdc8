// The doctor's round over all ranks. The one file of this room that needs LibTorch: it starts a session, and
// measures products of matrices and links between GPUs.
#include "doctor/examine.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "base/terminal.h"
#include "comm/mpi_job.h"
#include "comm/nccl.h"
#include "config/schema.h"
#include "coordinator/lease.h"
#include "doctor/checks.h"
#include "job/machine.h"
#include "job/placement.h"
#include "job/session.h"
#include "model/hardware.h"

namespace gaggle {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FolderTask, folder, uses, later)

namespace {

// Collective. The better of two rounds: what else runs on a host for a moment must not make it look odd.
void measure_rates(const Session& session, RankFacts& facts) {
  facts.fp32.hardware = hardware_text(session.device, at::kFloat);
  facts.bf16.hardware = hardware_text(session.device, at::kBFloat16);
  for (int round = 0; round < 2; ++round) {
    facts.fp32.flops_per_s = std::max(facts.fp32.flops_per_s, measure_together(session, at::kFloat));
    facts.bf16.flops_per_s = std::max(facts.bf16.flops_per_s, measure_together(session, at::kBFloat16));
  }
}

std::vector<RankFacts> facts_of_ranks(const Session& session, const Config* given) {
  RankFacts mine = host_facts();
  mine.gaggle = GAGGLE_VERSION;
  mine.libtorch = GAGGLE_TORCH_VERSION;
  mine.mpi = mpi_library_version();
  mine.nccl = nccl_version() > 0 ? nccl_text(nccl_version()) : nccl_complaint();
  if (given) {
    Config config = *given;
    for (const Key& key : config_keys()) mine.config[key.full()] = toml_text(key.field(config));
  }
  mine.threads = session.threads;
  mine.has_gpu = !session.device.is_cpu();
  mine.gpu = mine.has_gpu ? session.device.index() : 0;
  mine.gpus = visible_gpus();
  measure_rates(session, mine);
  return gather_facts(*session.world, mine);
}

// One for each pair of this host's GPUs.
std::vector<GpuLink> gpu_links(size_t gpus) {
  std::vector<GpuLink> links;
  for (size_t a = 0; a < gpus; ++a)
    for (size_t b = a + 1; b < gpus; ++b) links.push_back(gpu_link(static_cast<int>(a), static_cast<int>(b)));
  return links;
}

// The folders to measure, each once, whatever it is for.
std::vector<FolderTask> folder_tasks(const Examination& what) {
  std::vector<FolderTask> tasks;
  const auto add = [&](const std::string& path, const std::string& use) {
    const fs::path folder = nearest_existing(path);
    auto task = std::ranges::find(tasks, folder.string(), &FolderTask::folder);
    if (task == tasks.end()) task = tasks.insert(task, {folder, {}, {}});
    task->uses.push_back(use);
    if (folder != fs::absolute(path).lexically_normal()) task->later.push_back(use);
  };
  if (what.config) {
    add(what.config->registry.path, "registry.path");
    add(what.config->run.dir, "run.dir");
    add(what.config->registry.cache, "registry.cache");
  }
  for (const std::string& folder : what.folders) add(folder, "--folder");
  return tasks;
}

// One report, written block by block as they are found, by the first rank.
struct Report {
  bool writes;
  std::vector<ReportBlock> blocks = {};
  void add(const ReportBlock& block) {
    blocks.push_back(block);
    print(findings_block(block));
  }
  void print(const std::string& text) const {
    if (writes) write_out(text);
  }
};

void check_folders(const Session& session, const Examination& what, Report& report) {
  // The first rank's word: another rank may have another config.
  const std::string mine = nlohmann::json(folder_tasks(what)).dump();
  const auto tasks = parse_json(session.world->all_gather_text(mine)[0]).get<std::vector<FolderTask>>();
  LeaseFiles files;
  for (const FolderTask& task : tasks) {
    const FolderFacts facts =
        probe_folder(*session.world, session.identity.host, task.folder, {.megabytes = what.megabytes}, files);
    const bool registry = std::ranges::find(task.uses, "registry.path") != task.uses.end();
    report.add(folder_block(task, facts, what.config && registry ? what.config->cluster.lease_s : 0));
  }
}

}  // namespace

Exit examine(const Examination& what) {
  Config config = what.config ? *what.config : Config();
  const bool share_device = config.cluster.share_device;
  config.cluster.share_device = true;  // said in the report instead of refused
  Session session = start_session(config, Purpose::doctor);
  Report report{session.world->rank() == 0};
  report.print(what.title + "\n");
  const auto ranks = facts_of_ranks(session, what.config);
  const auto hosts = hosts_of(ranks);
  report.add(machine_block(ranks));
  report.add(gpu_block(ranks, gpu_links(ranks[0].gpus.size()), share_device));
  if (ranks.size() > 1) report.add(versions_block(ranks));
  report.add(network_block(measure_network(*session.world, session.identity.launcher, hosts), hosts));
  check_folders(session, what, report);
  report.print(verdict_block(report.blocks));
  end_session(session);
  // The first rank has seen everything.
  return !report.writes || is_fit(report.blocks) ? Exit::done : Exit::failed;
}

}  // namespace gaggle
