#include "app/adapt_worker.h"

#include <cstdio>
#include <map>

#include "app/adapt_commit.h"
#include "app/adapt_result.h"
#include "comm/mpi_job.h"
#include "job/machine.h"
#include "app/running_speed.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/table.h"
#include "cluster/stop.h"
#include "coordinator/journal.h"
#include "coordinator/queue.h"
#include "report/live.h"
#include "report/metrics.h"
#include "train/resume.h"

namespace gaggle {
namespace {

// Unwinds an item between two batches of its scoring when a stop was asked for.
struct StopAsked {
  Exit code;
};

void heed_stop() {
  if (const auto stop = stop_requested()) throw StopAsked{*stop};
}

// What the first rank shows: its own item, and how far the job is.
class AdaptProgress {
 public:
  AdaptProgress(const AdaptJob& job, const WorkQueue& queue)
      : job_(job), queue_(queue), live_(stdout), pace_(all_seconds() / job.session.world->size()) {}

  void step(const AdaptItem& item, const StepReport& r, const RunningSpeed& speed) {
    if (job_.session.identity.rank != 0 || (monotonic_seconds() - drawn_ < 0.2 && r.step != r.steps)) return;
    drawn_ = monotonic_seconds();
    const double done =
        done_seconds() + item.seconds * static_cast<double>(r.step) / static_cast<double>(r.steps);
    const double share = std::min(1.0, done / std::max(1e-9, all_seconds()));
    const double gemm = speed.per_second(speed.flops) / std::max(1.0, job_.gemm_flops);
    live_.draw({{"rank 0", item.name, r.phase, r.step, r.steps, r.loss, r.grad_norm, r.lr,
                 speed.per_second(speed.rows), gemm, speed.seconds_left(r)}},
               share,
               fmt::format("{} of {} items · {} left", queue_.plan().count(ItemState::done), job_.items.size(),
                           time_text(pace_.seconds_left(share))));
  }

 private:
  double all_seconds() const {
    double all = 0;
    for (const AdaptItem& item : job_.items) all += item.seconds;
    return all;
  }
  double done_seconds() const {
    double done = 0;
    for (const PlannedItem& planned : queue_.plan().items())
      if (planned.state == ItemState::done) done += planned.item.cost;
    return done;
  }
  const AdaptJob& job_;
  const WorkQueue& queue_;
  LiveView live_;
  Pace pace_;
  double drawn_ = -1e9;
};

class AdaptWorker {
 public:
  AdaptWorker(const AdaptJob& job, Registry& registry)
      : job_(job),
        registry_(registry),
        self_(make_self()),
        queue_(options(), work_items()),
        journal_(job.folder, job.session.identity.worker_name(),
                 job.session.world->all_gather_text(job.session.identity.worker_name())[0],
                 job.session.identity.rank, queue_.list()),
        progress_(job, queue_) {}

  Exit run() {
    const bool first = job_.session.identity.rank == 0;
    job_.session.world->barrier();  // the first rank has taken back what was set aside before anybody looks
    if (first) queue_.refresh();
    while (auto taken = queue_.next()) {
      const AdaptItem& item = *by_key_.at(taken->item.key);
      journal_.event("taken", item.name, item.key);
      try {
        if (const auto stopped = one(item, *taken)) {
          queue_.give_back(std::move(*taken));
          return *stopped;
        }
        if (queue_.still_mine(*taken)) {
          journal_.event("committed", item.name, item.key);
          queue_.finish(std::move(*taken));
        } else
          log::warning("{}: another worker took it over meanwhile", item.name);
      } catch (const StopAsked& stop) {
        queue_.give_back(std::move(*taken));
        return stop.code;
      } catch (const OtherMachine&) {
        queue_.give_back(std::move(*taken));
        throw;
      } catch (const NotFinite& error) {
        failed(item, std::move(*taken), error.what(), true);
      } catch (const std::exception& error) {
        failed(item, std::move(*taken), error.what(), false);
      }
      if (first) queue_.refresh();  // what the others made meanwhile
    }
    return stop_requested().value_or(Exit::done);
  }

 private:
  QueueOptions options() {
    const bool first = job_.session.identity.rank == 0;
    QueueOptions options;
    options.folder = job_.folder;
    options.worker = job_.session.identity.worker_name();
    options.lease_s = job_.config.cluster.lease_s;
    options.wait = first || job_.config.cluster.wait;  // the first rank prints what all made
    options.retry = job_.options.retry && first;
    options.done = [this](const WorkItem& item) {
      return adapt_item_done(job_, registry_, *by_key_.at(item.key));
    };
    options.stop = [] { return stop_requested().has_value(); };
    return options;
  }

  std::vector<WorkItem> work_items() {
    std::vector<WorkItem> work;
    for (const AdaptItem& item : job_.items) {
      by_key_[item.key] = &item;
      work.push_back({item.key, item.name, item.seconds});
    }
    return work;
  }

  // A value: it was stopped, and its checkpoint is written.
  std::optional<Exit> one(const AdaptItem& item, const Taken& taken) {
    if (!item.recipe) {
      write_adapt_result(job_, item, {"", score_item(job_, item, {}, heed_stop)});
      return std::nullopt;
    }
    // Its last checkpoint is on its way to the disk while the item is scored, where a stop may come.
    SnapshotWriter writer(taken.folder, item.recipe->key, job_.config.checkpoint.keep);
    const AdaptResult adapted = train(item, taken, writer);
    if (adapted.stopped) return adapted.stopped;
    const Score score = score_item(job_, item, adapted_mixture(*item.recipe, adapted.values), heed_stop);
    writer.wait();
    if (!queue_.still_mine(taken)) return std::nullopt;  // this copy is dropped
    const std::string version = commit_adapted(job_, registry_, item, adapted.values);
    const char* folder = words_of(stored_kind(*item.recipe)).folder;
    write_adapt_result(job_, item, {fmt::format("{}/{}@{}", folder, item.name, version), score});
    return std::nullopt;
  }

  AdaptResult train(const AdaptItem& item, const Taken& taken, SnapshotWriter& writer) {
    const AdaptRecipe& recipe = *item.recipe;
    MetricsLog metrics(job_.session.run_dir, item.name, job_.config.report.tensorboard);
    RunningSpeed speed;
    LoopHooks hooks;
    hooks.snapshots = &writer;
    hooks.checkpoint_every = job_.config.checkpoint.every;
    hooks.checkpoint_at_end = true;
    hooks.stop = [] { return stop_requested(); };
    hooks.machine = machine_of(job_.session);
    hooks.strict = job_.config.run.strict;
    hooks.on_step = [&](const StepReport& r) {
      speed.add(r);
      metrics.write(r.phase, r.step,
                    {{"loss", r.loss}, {"grad_norm", r.grad_norm}, {"lr", r.lr}, {"seconds", r.seconds}});
      journal_.progress({item.name, r.phase, r.step, r.steps, r.loss, r.grad_norm, r.lr,
                         speed.per_second(speed.rows), speed.seconds_left(r),
                         speed.per_second(speed.flops) / std::max(1.0, job_.gemm_flops)});
      progress_.step(item, r, speed);
    };
    const TokenTask few = few_shot(job_.tasks[item.task], item.shots, recipe.seed);
    return train_adapted(job_.base, few, recipe, job_.sources(), *self_, hooks, taken.earlier);
  }

  void failed(const AdaptItem& item, Taken taken, const std::string& reason, bool final) {
    const bool aside = queue_.fail(std::move(taken), reason, final);
    journal_.event(aside ? "aside" : "failed", item.name, item.key, reason);
    log::warning("{}: {}{}", item.name, reason,
                 aside ? "; set aside (--retry takes it up again)" : "; tried once more");
  }

  const AdaptJob& job_;
  Registry& registry_;
  std::unique_ptr<Communicator> self_;
  std::map<std::string, const AdaptItem*> by_key_;
  WorkQueue queue_;
  Journal journal_;
  AdaptProgress progress_;
};

}  // namespace

bool adapt_item_done(const AdaptJob& job, const Registry& registry, const AdaptItem& item) {
  return fs::exists(adapt_result_path(job, item)) && (!item.recipe || stored_version(registry, item));
}

Exit work_on_adaptation(const AdaptJob& job, Registry& registry) {
  AdaptWorker worker(job, registry);
  survive_losses();
  return worker.run();
}

}  // namespace gaggle
