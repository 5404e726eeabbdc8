// gaggle doctor: are this machine, these hosts and folders fit for a run? Takes seconds, changes nothing.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "job/plan.h"
#include "app/command.h"
#include "app/commands.h"
#include "app/doctor_checks.h"
#include "app/doctor_records.h"
#include "base/file.h"
#include "config/read.h"
#include "job/session.h"

namespace gaggle {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FolderTask, folder, uses, later)

namespace {

// The path, or what is there above it.
fs::path nearest(const fs::path& path) {
  fs::path there = fs::absolute(path).lexically_normal();
  std::error_code unreadable;
  while (!fs::exists(there, unreadable) && there.has_relative_path()) there = there.parent_path();
  return there;
}

// The folders to measure, each once, whatever it is for.
std::vector<FolderTask> folder_tasks(const DoctorOptions& options, const Config* config) {
  std::vector<FolderTask> tasks;
  const auto add = [&](const std::string& path, const std::string& use) {
    const fs::path folder = nearest(path);
    auto task =
        std::find_if(tasks.begin(), tasks.end(), [&](const auto& other) { return other.folder == folder; });
    if (task == tasks.end()) task = tasks.insert(task, {folder, {}, {}});
    task->uses.push_back(use);
    if (folder != fs::absolute(path).lexically_normal()) task->later.push_back(use);
  };
  if (config) {
    add(config->registry.path, "registry.path");
    add(config->run.dir, "run.dir");
    add(config->registry.cache, "registry.cache");
  }
  for (const std::string& folder : options.folders) add(folder, "--folder");
  return tasks;
}

// One report, written block by block as they are found, by the first rank.
struct Report {
  bool writes;
  std::vector<ReportBlock> blocks = {};
  void add(const ReportBlock& block) {
    blocks.push_back(block);
    print(block_text(block));
  }
  void print(const std::string& text) const {
    if (!writes) return;
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }
};

void check_folders(const Session& session, const DoctorOptions& options, const Config* config, Report& report) {
  // The first rank's word: another rank may have another config.
  const std::string mine = nlohmann::json(folder_tasks(options, config)).dump();
  const auto tasks =
      nlohmann::json::parse(session.world->all_gather_text(mine)[0]).get<std::vector<FolderTask>>();
  LeaseFiles files;
  const ProbeOptions probe{options.megabytes, 3, 0.4};
  for (const FolderTask& task : tasks) {
    const FolderFacts facts = probe_folder(*session.world, session.identity.host, task.folder, probe, files);
    const bool registry = std::find(task.uses.begin(), task.uses.end(), "registry.path") != task.uses.end();
    report.add(folder_block(task, facts, config && registry ? config->cluster.lease_s : 0));
  }
}

Exit examine(const DoctorOptions& options, const Config* given) {
  Config config = given ? *given : Config();
  const bool share_device = config.cluster.share_device;
  config.cluster.share_device = true;  // said in the report instead of refused
  Session session = start_session(config, Refusals::none);
  Report report{session.world->rank() == 0};
  report.print(version_text() + "\n");
  const auto ranks = gather_facts(session, given);
  const auto hosts = hosts_of(ranks);
  report.add(machine_block(ranks));
  report.add(gpu_block(ranks, measure_gpu_links(ranks[0].gpus), share_device));
  if (ranks.size() > 1) report.add(versions_block(ranks));
  report.add(network_block(measure_network(session, hosts), hosts));
  check_folders(session, options, given, report);
  report.print(verdict_text(report.blocks));
  end_session(session);
  // The first rank has seen everything.
  return !report.writes || is_fit(report.blocks) ? Exit::done : Exit::failed;
}

}  // namespace

Exit command_doctor(const DoctorOptions& options, const std::vector<std::string>& overrides) {
  const bool is_run_folder = !options.where.empty() && fs::is_directory(options.where);
  if ((options.where.empty() || is_run_folder) && !overrides.empty())
    user_error("--{}: a key of the config needs its CONFIG: gaggle doctor CONFIG --{}", overrides[0],
               overrides[0]);
  if (is_run_folder) {
    if (!options.folders.empty())
      user_error("--folder: gaggle doctor RUNDIR reads the records of a run and takes no other option");
    std::fputs(read_collective_records(options.where).c_str(), stdout);
    return Exit::done;
  }
  for (const std::string& folder : options.folders)
    if (!fs::is_directory(folder)) user_error("--folder {}: there is no such folder; make it first", folder);
  if (options.where.empty()) return examine(options, nullptr);
  const Config config = read_config(options.where, overrides);
  return examine(options, &config);
}

Command doctor_command() {
  return {"doctor", "Check machine, hosts, MPI, GPUs and folders for a run; under mpirun on every host",
          [](CLI::App& parser) {
            const auto options = std::make_shared<DoctorOptions>();
            parser.add_option("CONFIG", options->where,
                              "The config whose folders are meant, or a run folder: what its ranks were at when it "
                              "hung");
            parser.add_option("--folder", options->folders, "Also look at this folder (several: repeat it)")
                ->take_all();
            parser.add_option("--mb", options->megabytes, "Megabytes that each host writes and reads per folder")
                ->check(CLI::PositiveNumber)
                ->capture_default_str();
            return [options](const std::vector<std::string>& overrides) { return command_doctor(*options, overrides); };
          }};
}

}  // namespace gaggle
