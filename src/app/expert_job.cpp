#include "app/expert_job.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/estimate.h"
#include "app/expert_display.h"
#include "app/expert_table.h"
#include "app/expert_worker.h"
#include "comm/mpi_job.h"
#include "job/machine.h"
#include "app/plan_text.h"
#include "base/file.h"
#include "base/log.h"
#include "base/names.h"
#include "cluster/stop.h"

namespace gaggle {
namespace {

// Which items are there already, and why the others are not: fills version and why. A registry that is not
// there yet is left so.
void look_up(ExpertJob& job) {
  const fs::path folder = job.config.registry.path;
  if (!fs::exists(folder / "registry.json")) return;
  const Registry registry = Registry::open(folder, fingerprint_of(job.base), false, job.options.accept_base);
  for (ExpertItem& item : job.items) {
    if (const auto there = registry.find_key(item.name, item.recipe.key)) {
      item.version = there->version;
      continue;
    }
    if (!item.parent.empty()) continue;
    const auto current = registry.find(item.name);
    if (!current) continue;
    const auto about = nlohmann::json::parse(registry.expert_json(item.name));
    item.why = fmt::format("v{:04}, {}", std::stoi(current->version.substr(1)) + 1,
                           about.contains("recipe") ? difference_text(about.at("recipe"), item.recipe.json)
                                                    : "the one there was imported");
  }
}

std::vector<WorkItem> work_items(const ExpertJob& job) {
  std::vector<WorkItem> work;
  for (const ExpertItem& item : job.items)
    work.push_back({item.recipe.key, item.name, item_seconds(item, job)});
  return work;
}

QueueOptions queue_options(const ExpertJob& job, const Registry& registry) {
  QueueOptions options;
  options.folder = registry.folder();
  options.worker = job.session.identity.worker_name();
  options.lease_s = job.config.cluster.lease_s;
  options.wait = job.config.cluster.wait;
  options.retry = job.options.retry && job.session.world->rank() == 0;
  options.done = [&](const WorkItem& item) { return registry.find_key(item.name, item.key).has_value(); };
  options.stop = [] { return stop_requested().has_value(); };
  return options;
}

// False where the group has lost a rank: each of the others then goes on alone, to the same bits.
bool works_to_the_end(ExpertWorker worker, std::optional<Exit>& stopped) {
  try {
    stopped = worker.work();
    return true;
  } catch (const SystemError&) {
    if (!lost_a_rank(worker.group)) throw;
    log::warning("{}: this rank goes on alone", worker.group.who_left());
    return false;
  }
}

Exit run_worker(const ExpertJob& job, Registry& registry, WorkQueue& queue, Communicator& group,
                const std::string& job_name) {
  const int rank = job.session.world->rank();
  std::optional<Journal> journal(std::in_place, registry.folder(), job.session.identity.worker_name(), job_name,
                                 rank, queue.list());
  std::optional<ExpertDisplay> display;
  if (rank == 0) display.emplace(job, registry.folder(), job_name);
  std::optional<Exit> stopped;
  if (!works_to_the_end({job, registry, group, &*journal, &queue}, stopped))
    stopped = ExpertWorker{job, registry, *make_self(), &*journal, &queue}.work();
  journal.reset();
  std::vector<JournalEvent> events;
  if (display) {
    display->wait_for(worker_count(job), job.config.cluster.lease_s);
    display->stop();
    events = display->events();
  }
  if (!stopped) return conclude(job, registry, queue, events);
  log::info("stopped early, everything is saved: start again to go on");
  return *stopped;
}

Exit run_job(const ExpertJob& job) {
  Communicator& world = *job.session.world;
  Registry registry =
      Registry::open(job.config.registry.path, fingerprint_of(job.base), true, job.options.accept_base);
  make_run_folder(job.session, job.config);
  // Also mends a CURRENT that a killed worker left behind.
  for (const ExpertItem& item : job.items)
    if (!item.version.empty()) registry.make_current(item.name, item.version);
  const auto per_group = static_cast<int>(job.config.cluster.ranks_per_expert);
  auto group = per_group == 1 ? make_self() : world.split(world.rank() / per_group);
  const std::string job_name = world.all_gather_text(job.session.identity.worker_name())[0];
  std::optional<WorkQueue> queue;
  if (group->rank() == 0) queue.emplace(queue_options(job, registry), work_items(job));
  world.barrier();  // the first rank has taken back what was set aside (--retry) before anybody looks
  survive_losses();
  if (!queue) {
    std::optional<Exit> stopped;
    if (works_to_the_end({job, registry, *group}, stopped)) return Exit::done;
    group = make_self();
    queue.emplace(queue_options(job, registry), work_items(job));
  }
  return run_worker(job, registry, *queue, *group, job_name);
}

}  // namespace

void check_job(const Config& config, const Session& session) {
  check_writable(config.registry.path, "registry.path");
  check_writable(session.run_dir, "run.dir");
  if (session.world->size() % config.cluster.ranks_per_expert != 0)
    user_error("cluster.ranks_per_expert = {} does not divide the {} ranks that were started",
               config.cluster.ranks_per_expert, session.world->size());
}

Exit plan_and_run(ExpertJob job) {
  look_up(job);
  check_machines_alike(job.session, job.config.run.strict);
  job.gemm_flops = measure_together(job.session, job.base.dtype());
  if (job.session.world->rank() == 0) {
    std::fputs(plan_text(job).c_str(), stdout);
    if (job.options.dry_run) std::fputs(dry_run_text(job).c_str(), stdout);
    std::fflush(stdout);
  }
  const Exit code = job.options.dry_run ? Exit::done : run_job(job);
  end_session(job.session);
  return code;
}

}  // namespace gaggle
