// A folder's measurements and what it may be used for, in words.
#include <algorithm>

#include "app/doctor_checks.h"
#include "base/table.h"
#include "base/names.h"
#include "base/table.h"
#include "cluster/odd_one.h"

namespace gaggle {
namespace {

std::string delay_text(const Delay& delay) {
  return (delay.never ? "not within " : "after ") + duration_text(delay.seconds);
}

std::string use_text(const FolderUse& use) {
  switch (use.fitness) {
    case Fitness::yes:
      return use.why.empty() ? "yes" : "yes, but " + use.why;
    case Fitness::no:
      return "no: " + use.why;
    case Fitness::not_known:
      return "not known: " + use.why;
  }
  return "";
}

bool meant_for(const FolderTask& task, const char* use) {
  return std::find(task.uses.begin(), task.uses.end(), use) != task.uses.end();
}

// A use that the config makes of the folder must be possible; of others one only hears.
void add_use(ReportBlock& block, const std::string& topic, const std::string& of, const FolderUse& use,
             bool needed) {
  const bool unfit = use.fitness != Fitness::yes;
  block.add(!unfit   ? Mark::ok
            : needed ? Mark::wrong
                     : Mark::none,
            topic, (of.empty() ? "" : of + ": ") + use_text(use));
}

void add_promises(ReportBlock& block, const FolderFacts& f) {
  const std::string who = f.ranks > 1 ? plural(static_cast<size_t>(f.ranks), "rank") : "2 threads";
  block.add(f.torn + f.missing > 0 ? Mark::wrong : Mark::ok, "replacing",
            fmt::format("{} times by rename under {} reads by others: {} half-written, {} missing",
                        with_commas(f.replaced), with_commas(f.reads), f.torn, f.missing));
  block.add(f.create_races_wrong > 0 ? Mark::wrong : Mark::ok, "new files",
            f.create_races_wrong > 0
                ? fmt::format("{} of {} races of {} had not exactly one winner", f.create_races_wrong,
                              f.create_races, who)
                : fmt::format("{} races of {} (O_EXCL): one winner each", with_commas(f.create_races), who));
  block.add(
      f.commit_races_wrong > 0 || !f.taken_name_refused ? Mark::wrong : Mark::ok, "commits",
      fmt::format("{} races of {} to rename a folder: {}; a taken name is {}", f.commit_races, who,
                  f.commit_races_wrong > 0 ? fmt::format("{} without exactly one winner", f.commit_races_wrong)
                                           : "one winner each",
                  f.taken_name_refused ? "refused" : "overwritten"));
  const bool unseen = f.by_name.never || f.in_listing.never || f.counter.never;
  block.add(unseen ? Mark::look : Mark::ok, "seen by others",
            fmt::format("a new file {} by name, {} in the listing; a lease's counter {}", delay_text(f.by_name),
                        delay_text(f.in_listing), delay_text(f.counter)));
}

void add_speeds(ReportBlock& block, const FolderFacts& f) {
  block.add(f.fsync_s > 0.5 ? Mark::look : Mark::ok, "fsync",
            fmt::format("{} for a small file, {} at worst", duration_text(f.fsync_s),
                        duration_text(f.fsync_worst_s)));
  const auto slow = far_below(f.write_bytes_per_s_of, 0.5);
  block.add(slow.empty() ? Mark::ok : Mark::look, "big files",
            fmt::format("written at {}, read in order at {}{}{}", rate_text(f.write_bytes_per_s),
                        rate_text(f.read_bytes_per_s),
                        f.hosts > 1 ? fmt::format(" by {} hosts together", f.hosts) : "",
                        slow.empty() ? ""
                                     : fmt::format("; the slowest host writes at {}",
                                                   rate_text(f.write_bytes_per_s_of[slow[0]]))));
  block.add(f.creates_per_s < 20 ? Mark::look : Mark::ok, "small files",
            with_commas(static_cast<int64_t>(f.creates_per_s)) + " made per second");
  block.add(Mark::none, "not needed",
            fmt::format("hard links {}, flock {}, fcntl locks {}", f.hard_links ? "work" : "do not work",
                        f.flock ? "works" : "does not work", f.fcntl_locks ? "work" : "do not work"));
  block.add(Mark::none, "its clock",
            std::abs(f.server_clock_s) < 1
                ? "less than 1 s from this host's"
                : fmt::format("{:.1f} s {} this host's; no decision depends on it", std::abs(f.server_clock_s),
                              f.server_clock_s > 0 ? "ahead of" : "behind"));
}

}  // namespace

ReportBlock folder_block(const FolderTask& task, const FolderFacts& f, double lease_s) {
  const std::string later = task.later.empty() ? ""
                            : task.later.size() == task.uses.size()
                                ? ", yet to be made in it"
                                : fmt::format(" ({} yet to be made in it)", join(task.later, ", "));
  ReportBlock block{fmt::format("folder {} for {}{}", task.folder, join(task.uses, ", "), later), {}};
  const bool low = f.free_bytes < 1'000'000'000;
  const bool forgets = f.system.in_memory && task.uses != std::vector<std::string>{"registry.cache"};
  block.add(low || forgets ? Mark::look : Mark::ok, "kind",
            fmt::format("{}{}, {} free", f.system.name, f.system.in_memory ? " (in memory)" : "",
                        bytes_text(f.free_bytes)));
  if (!f.failed.empty()) {
    block.add(Mark::wrong, "usable", "no: " + f.failed);
    return block;
  }
  add_promises(block, f);
  add_speeds(block, f);
  const FolderVerdict verdict = judge(f);
  const bool several = f.hosts + static_cast<int>(f.blind_hosts.size()) > 1,
             registry = meant_for(task, "registry.path");
  add_use(block, "registry", "of one host", verdict.registry_here, registry);
  add_use(block, "registry", "of several hosts", verdict.registry_everywhere, registry && several);
  add_use(block, "run folder", "", verdict.run_folder, meant_for(task, "run.dir"));
  add_use(block, "token cache", "", verdict.cache, true);
  const bool short_lease = lease_s > 0 && lease_s < verdict.least_lease_s;
  block.add(
      short_lease ? Mark::look : Mark::ok, "leases",
      fmt::format(
          "cluster.lease_s at least {:.0f} s here{}", verdict.least_lease_s,
          lease_s > 0 ? fmt::format(", {} {:g} s", short_lease ? "but it is" : "and it is", lease_s) : ""));
  return block;
}

}  // namespace gaggle
