#include "job/job.h"

#include "base/log.h"
#include "base/terminal.h"
#include "cluster/stop.h"
#include "comm/mpi_job.h"
#include "coordinator/queue.h"
#include "job/display.h"
#include "job/worker.h"

namespace gaggle {
namespace {

QueueOptions queue_options(const JobContext& context, const Job& job) {
  const bool first = context.session.identity.rank == 0;
  return {.folder = job.folder,
          .worker = context.session.identity.worker_name(),
          .lease_s = context.config.cluster.lease_s,
          .wait = context.config.cluster.wait || (first && job.wait) ? WaitFor::everybody
                  : first                                            ? WaitFor::own_job
                                                                     : WaitFor::nobody,
          .retry = context.options.retry && first,
          .say_after_s = context.session.world->rank() == 0 ? 5.0 : 0,
          .done = [&](const WorkItem& item) { return job.result(item).has_value(); },
          .stop = [] { return stop_requested().has_value(); },
          .files = nullptr};
}

// The group that this rank works in; null: all ranks are one.
std::unique_ptr<Communicator> part_of(Communicator& world, const Job& job) {
  if (job.ranks_per_item == 1) return make_self();
  if (job.ranks_per_item == world.size() && !job.outlives_ranks) return nullptr;
  return world.split(world.rank() / job.ranks_per_item);
}

// Those without a result.
std::vector<WorkItem> open_items(const Job& job) {
  std::vector<WorkItem> open;
  for (const WorkItem& item : job.items)
    if (!job.result(item)) open.push_back(item);
  return open;
}

// A rank's part in a job.
class JobRun {
 public:
  JobRun(const JobContext& context, const Job& job)
      : context_(context),
        job_(job),
        world_(*context.session.world),
        alone_or_part_(part_of(world_, job)),
        group_(alone_or_part_ ? alone_or_part_.get() : &world_),
        name_(world_.all_gather_text(context.session.identity.worker_name())[0]) {
    if (group_->rank() == 0) queue_.emplace(queue_options(context, job), job.items);
    if (world_.rank() == 0) serve_what_is_done();
    world_.barrier();  // the first rank has taken back what was set aside (--retry) before anybody looks
    if (job.outlives_ranks) survive_losses();
  }

  Exit run() {
    if (queue_) open_reports();
    std::optional<Exit> stopped;
    if (!works_to_the_end(stopped)) {
      // Each of the others goes on alone, to the same bits.
      log::warning("{}: this rank goes on alone", group_->who_left());
      alone_or_part_ = make_self();
      group_ = alone_or_part_.get();
      if (!queue_) queue_.emplace(queue_options(context_, job_), job_.items), open_reports();
      stopped = worker().work();
    }
    if (!queue_) return Exit::done;
    const std::vector<JournalEvent> events = close_reports();
    return stopped ? say_stopped(*stopped) : conclude(events);
  }

 private:
  void open_reports() {
    journal_.emplace(job_.folder, context_.session.identity.worker_name(), name_, world_.rank(), queue_->list());
    if (world_.rank() != 0) return;
    display_.emplace(job_, open_items(job_), name_, context_.session.identity.worker_name(),
                     worker_count(job_, context_.session));
  }

  void serve_what_is_done() {
    if (!job_.serve) return;
    for (const WorkItem& item : job_.items)
      if (const auto version = job_.result(item)) job_.serve(item, *version);
  }

  // False where the group has lost a rank.
  bool works_to_the_end(std::optional<Exit>& stopped) {
    try {
      stopped = worker().work();
      return true;
    } catch (const SystemError&) {
      if (!lost_a_rank(*group_)) throw;
      return false;
    }
  }

  Worker worker() { return {context_, job_, *group_, journal_ ? &*journal_ : nullptr, queue_ ? &*queue_ : nullptr}; }

  std::vector<JournalEvent> close_reports() {
    journal_.reset();
    if (!display_) return {};
    display_->wait_for_workers(context_.config.cluster.lease_s);
    display_->stop();
    return display_->events();
  }

  Exit say_stopped(Exit code) {
    if (code == Exit::stopped)
      log::info("{} asks to stop, everything is saved: remove it and start again to go on",
                (context_.session.run_dir / "STOP").string());
    else
      say_saved();
    return code;
  }

  Exit conclude(const std::vector<JournalEvent>& events) {
    const bool all_done = queue_->all_done();  // a fresh look
    const Plan& plan = queue_->plan();
    serve_what_is_done();
    if (job_.merge && plan.size() > 0 && all_done) job_.merge();
    const std::vector<PlannedItem> aside = queue_->set_aside();
    if (world_.rank() == 0) {
      job_.closing_page({plan, events}).print();
      for (const PlannedItem& left : queue_->left())
        log::info("{} is {}; start again, or set cluster.wait = true, to see the end", left.item.name,
                  left.state == ItemState::held ? "held by " + left.note : "left: its worker was lost");
      for (const PlannedItem& item : aside)
        log::warning("{} was set aside: {} (--retry takes it up again)", item.item.name, item.note);
    }
    return aside.empty() ? Exit::done : Exit::some_set_aside;
  }

  const JobContext& context_;
  const Job& job_;
  Communicator& world_;
  std::unique_ptr<Communicator> alone_or_part_;  // null: the group is the world
  Communicator* group_;
  std::string name_;                // of the job, the same on all its workers
  std::optional<WorkQueue> queue_;  // of a group's first rank, as all that follows
  std::optional<Journal> journal_;
  std::optional<JobDisplay> display_;  // of the job's first rank
};

}  // namespace

int worker_count(const Job& job, const Session& session) { return session.world->size() / job.ranks_per_item; }

Exit run_job(const JobContext& context, const Job& job) { return JobRun(context, job).run(); }

}  // namespace gaggle
