#include "app/expert_worker.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/expert_commit.h"
#include "app/expert_sketch.h"
#include "comm/mpi_job.h"
#include "job/machine.h"
#include "app/running_speed.h"
#include "base/log.h"
#include "cluster/stop.h"
#include "report/metrics.h"
#include "train/resume.h"

namespace gaggle {
namespace {

// Tells the journal and the metrics files of every step.
class StepReporter {
 public:
  StepReporter(const ExpertJob& job, Journal& journal, const std::string& item)
      : journal_(journal),
        item_(item),
        gemm_flops_(job.gemm_flops),
        metrics_(job.session.run_dir, item, job.config.report.tensorboard) {}

  void operator()(const StepReport& r) {
    if (r.phase != phase_) speed_ = {}, phase_ = r.phase;
    speed_.add(r);
    const double tokens_per_s = speed_.per_second(speed_.rows);
    journal_.progress({item_, r.phase, r.step, r.steps, r.loss, r.grad_norm, r.lr, tokens_per_s,
                       speed_.seconds_left(r), speed_.per_second(speed_.flops) / std::max(1.0, gemm_flops_)});
    std::vector<std::pair<std::string, double>> values = step_values(r);
    if (r.validation_loss) values.emplace_back("validation_loss", *r.validation_loss);
    metrics_.write(r.phase, r.step, values);
    if (r.step == 1 || r.step == r.steps) metrics_.flush();
  }

 private:
  Journal& journal_;
  std::string item_, phase_;
  double gemm_flops_;
  MetricsLog metrics_;
  RunningSpeed speed_;
};

// "v0001, validation loss 0.558 (base 6.42)".
std::string committed_text(const std::string& version, const nlohmann::json& metrics) {
  const auto is_number = [&](const char* key) { return metrics.contains(key) && metrics[key].is_number(); };
  if (!is_number("validation_loss") || !is_number("base_loss")) return version;
  return fmt::format("{}, validation loss {:.3f} (base {:.2f})", version,
                     metrics["validation_loss"].get<double>(), metrics["base_loss"].get<double>());
}

}  // namespace

bool lost_a_rank(Communicator& group) {
  for (int look = 0; group.size() > 1 && look < 50; ++look) {
    if (!lost_ranks().empty() && !group.who_left().empty()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

std::optional<Exit> ExpertWorker::work() {
  for (;;) {
    std::optional<Taken> taken;
    int64_t said[2] = {-1, 0};  // place of the item, generation
    if (queue && (taken = queue->next())) {
      for (size_t i = 0; i < job.items.size(); ++i)
        if (job.items[i].recipe.key == taken->item.key) said[0] = static_cast<int64_t>(i);
      said[1] = taken->generation;
    }
    try {
      group.broadcast(std::as_writable_bytes(std::span(said)), 0);
    } catch (const SystemError&) {
      if (taken) queue->give_back(std::move(*taken));
      throw;
    }
    if (said[0] < 0) return queue ? stop_requested() : std::nullopt;
    const ExpertItem& item = job.items[static_cast<size_t>(said[0])];
    const auto stopped = one(item, static_cast<int>(said[1]), std::move(taken));
    if (stopped) return stopped;
  }
}

ExpertResult ExpertWorker::train(const ExpertItem& item, int generation) {
  const std::string& key = item.recipe.key;
  LoopHooks hooks;
  std::optional<SnapshotWriter> writer;
  std::optional<StepReporter> reporter;
  if (queue) {
    writer.emplace(item_folder(registry.folder(), key, generation), key, job.config.checkpoint.keep);
    hooks.snapshots = &*writer;
    reporter.emplace(job, *journal, item.name);
    hooks.on_step = [&](const StepReport& report) { (*reporter)(report); };
    hooks.stop = [] { return stop_requested(); };
  }
  hooks.checkpoint_every = job.config.checkpoint.every;
  hooks.checkpoint_at_end = true;
  hooks.compare_every = job.config.comm.compare_every;
  hooks.machine = machine_of(job.session);
  hooks.strict = job.config.run.strict;
  if (queue) leave_sketch(job, item, registry.folder());
  ExpertResult result = train_expert(job.base, *item.task, item.recipe, group, hooks,
                                     earlier_folders(registry.folder(), key, generation));
  if (writer) writer->wait();
  return result;
}

std::optional<Exit> ExpertWorker::one(const ExpertItem& item, int generation, std::optional<Taken> taken) {
  const std::string& key = item.recipe.key;
  if (journal) journal->event("taken", item.name, key);
  try {
    const ExpertResult result = train(item, generation);
    if (result.stopped) {
      if (taken) queue->give_back(std::move(*taken));
      return result.stopped;
    }
    if (!taken) return std::nullopt;
    if (!queue->still_mine(*taken)) {
      log::warning("{}: another worker took it over; this copy is dropped", item.name);
      return std::nullopt;
    }
    const std::string version = commit_expert(job, registry, item, result);
    journal->event("committed", item.name, key, committed_text(version, result.metrics));
    queue->finish(std::move(*taken));
  } catch (const Interrupted& asked) {
    if (taken) queue->give_back(std::move(*taken));
    return asked.code;
  } catch (const OtherMachine&) {
    if (taken) queue->give_back(std::move(*taken));
    throw;
  } catch (const NotFinite& error) {
    failed(item, std::move(taken), error.what(), true);
  } catch (const SystemError& error) {
    if (!lost_a_rank(group)) {
      failed(item, std::move(taken), error.what(), false);
      return std::nullopt;
    }
    if (taken) queue->give_back(std::move(*taken));
    throw;
  } catch (const std::exception& error) {
    failed(item, std::move(taken), error.what(), false);
  }
  return std::nullopt;
}

void ExpertWorker::failed(const ExpertItem& item, std::optional<Taken> taken, const std::string& reason,
                          bool final) {
  if (!taken) return;
  const bool aside = queue->fail(std::move(*taken), reason, final);
  journal->event(aside ? "aside" : "failed", item.name, item.recipe.key, reason);
  log::warning("{}: {}{}", item.name, reason,
               aside ? "; set aside (--retry takes it up again)" : "; tried once more");
}

}  // namespace gaggle
