#include "job/worker.h"

#include <chrono>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/pulse.h"
#include "cluster/stop.h"
#include "comm/mpi_job.h"
#include "train/resume.h"

namespace gaggle {

bool lost_a_rank(Communicator& group) {
  for (int look = 0; group.size() > 1 && look < 50; ++look) {
    if (!lost_ranks().empty() && !group.who_left().empty()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

std::optional<Exit> Worker::work() {
  const auto stopped = take_items();
  keep_speeds(context, seen);
  return stopped;
}

void Worker::note_speed(size_t item, double begun, const std::optional<ItemReport>& report, bool whole) {
  if (!report || job.work.empty()) return;
  const double seconds = monotonic_seconds() - begun, share = report->share_of_own(whole);
  if (share <= 0 || seconds <= 0) return;
  const double rate = share * job.work[item].flops / group.size() / seconds;
  KnownSpeed& of_kind = seen[job.work[item].kind];
  of_kind = merged(of_kind, {rate, seconds});
  // Small items are many: a file is not written for each.
  if (of_kind.seconds < 60) return;
  keep_speeds(context, seen);
  seen.clear();
}

std::optional<Exit> Worker::take_items() {
  for (;;) {
    std::optional<Taken> taken;
    int64_t word[2] = {-1, 0};  // the item's place, the generation of its lease
    if (queue && (taken = queue->next())) {
      for (size_t i = 0; i < job.items.size(); ++i)
        if (job.items[i].key == taken->item.key) word[0] = static_cast<int64_t>(i);
      word[1] = taken->generation;
    }
    try {
      group.broadcast(std::as_writable_bytes(std::span(word)), 0);
    } catch (const SystemError&) {
      if (taken) queue->give_back(std::move(*taken));
      throw;
    }
    if (word[0] < 0) return queue ? stop_requested() : std::nullopt;
    const auto stopped = one(static_cast<size_t>(word[0]), static_cast<int>(word[1]), std::move(taken));
    if (stopped) return stopped;
  }
}

std::optional<Exit> Worker::one(size_t item, int generation, std::optional<Taken> taken) {
  const WorkItem& work = job.items[item];
  const auto give_back = [&] {
    if (taken) queue->give_back(std::move(*taken));
  };
  if (journal) journal->event("taken", work.name, work.key);
  const double begun = monotonic_seconds();
  std::optional<ItemReport> report;
  try {
    if (journal) report.emplace(*journal, work.name, context.gemm_flops);
    Attempt attempt{group, item_folder(job.folder, work.key, generation),
                    earlier_folders(job.folder, work.key, generation), report ? &*report : nullptr};
    const Commit result = job.run(item, attempt);
    pulse_under_way();
    if (taken) commit(work, result, *taken);
    note_speed(item, begun, report, /*whole=*/true);
  } catch (const StopRequested& stop) {
    note_speed(item, begun, report, /*whole=*/false);
    give_back();
    return stop.code;
  } catch (const OtherMachine&) {
    give_back();
    throw;
  } catch (const std::exception& error) {
    const bool not_finite = dynamic_cast<const NotFinite*>(&error) != nullptr;
    // Ranks that share a base may stand in the middle of a pass, and would wait there for the parts of one that goes on.
    if ((dynamic_cast<const SystemError*>(&error) && lost_a_rank(group)) || (context.base.shards() && !not_finite)) {
      give_back();
      throw;
    }
    // A loss that is not finite would be so again.
    failed(work, std::move(taken), error_text(error), not_finite);
  }
  return std::nullopt;
}

void Worker::commit(const WorkItem& work, const Commit& commit, Taken& taken) {
  if (!queue->still_mine(taken)) {
    log::warning("{}: another worker took it over; this copy is dropped", work.name);
    return;
  }
  const std::string word = commit();
  journal->event("committed", work.name, work.key, word);
  queue->finish(std::move(taken));
}

void Worker::failed(const WorkItem& work, std::optional<Taken> taken, const std::string& reason, bool final) {
  if (!taken) {  // the group's first rank knows only that others went on without it; what is final happens to all
    if (!final) log::warning("{}: {}", work.name, reason);
    return;
  }
  const bool aside = queue->fail(std::move(*taken), reason, final);
  journal->event(aside ? "aside" : "failed", work.name, work.key, reason);
  log::warning("{}: {}{}", work.name, reason, aside ? "; set aside (--retry takes it up again)" : "; tried once more");
}

}  // namespace gaggle
