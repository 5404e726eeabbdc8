// A folder's measurements and what it may be used for, in words.
#include <algorithm>
#include <cmath>

#include "base/names.h"
#include "base/table.h"
#include "doctor/checks.h"
#include "doctor/odd_one.h"

namespace gaggle {
namespace {

std::string delay_text(const Delay& delay) {
  return (delay.never ? "not within " : "after ") + duration_text(delay.seconds);
}

bool meant_for(const FolderTask& task, const char* use) { return std::ranges::find(task.uses, use) != task.uses.end(); }

// A use that the config makes of the folder must be possible; of others one only hears.
void add_use(ReportBlock& block, const std::string& topic, const std::string& of, const FolderUse& use, bool needed) {
  const bool fit = use.fitness == Fitness::yes;
  const std::string words = fit ? (use.why.empty() ? "yes" : "yes, but " + use.why)
                                : (use.fitness == Fitness::no ? "no: " : "not known: ") + use.why;
  block.add(fit || needed ? error_if(!fit) : Severity::note, topic, of + words);
}

void add_speeds(ReportBlock& block, const FolderFacts& f) {
  block.add(warning_if(f.fsync_s > 0.5), "fsync",
            fmt::format("{} for a small file, {} at worst", duration_text(f.fsync_s), duration_text(f.fsync_worst_s)));
  const auto slow = far_below(f.write_bytes_per_s_of, 0.5);
  block.add(
      warning_if(!slow.empty()), "big files",
      fmt::format("written at {}, read in order at {}{}{}", rate_text(f.write_bytes_per_s),
                  rate_text(f.read_bytes_per_s), f.hosts > 1 ? fmt::format(" by {} hosts together", f.hosts) : "",
                  slow.empty() ? "" : "; the slowest host writes at " + rate_text(f.write_bytes_per_s_of[slow[0]])));
  block.add(warning_if(f.creates_per_s < 20), "small files",
            with_commas(static_cast<int64_t>(f.creates_per_s)) + " made per second");
  const auto works = [](bool it_does) { return it_does ? "yes" : "no"; };
  block.add(Severity::note, "not needed",
            fmt::format("hard links: {}, flock: {}, fcntl locks: {}", works(f.hard_links), works(f.flock),
                        works(f.fcntl_locks)));
  const double off = std::abs(f.server_clock_s);
  block.add(Severity::note, "its clock",
            off < 1 ? "less than 1 s from this host's"
                    : fmt::format("{:.1f} s {} this host's; no decision depends on it", off,
                                  f.server_clock_s > 0 ? "ahead of" : "behind"));
}

std::string title_of(const FolderTask& task) {
  std::string later;
  if (task.later.size() == task.uses.size())
    later = ", yet to be made in it";
  else if (!task.later.empty())
    later = fmt::format(" ({} yet to be made in it)", join(task.later, ", "));
  return fmt::format("folder {} for {}{}", task.folder, join(task.uses, ", "), later);
}

}  // namespace

ReportBlock folder_block(const FolderTask& task, const FolderFacts& f, double lease_s) {
  ReportBlock block{title_of(task)};
  const bool low = f.free_bytes < 1'000'000'000;
  const bool forgets = f.system.in_memory && task.uses != std::vector<std::string>{"registry.cache"};
  block.add(
      warning_if(low || forgets), "kind",
      fmt::format("{}{}, {} free", f.system.name, f.system.in_memory ? " (in memory)" : "", bytes_text(f.free_bytes)));
  if (!f.failed.empty()) {
    block.add(Severity::error, "usable", "no: " + f.failed);
    return block;
  }
  for (const FolderPromise& promise : promises_of(f)) block.add(error_if(!promise.kept), promise.topic, promise.words);
  block.add(warning_if(f.by_name.never || f.in_listing.never || f.counter.never), "seen by others",
            fmt::format("a new file {} by name, {} in the listing; a lease's counter {}", delay_text(f.by_name),
                        delay_text(f.in_listing), delay_text(f.counter)));
  add_speeds(block, f);
  const FolderVerdict verdict = judge(f);
  const bool several = f.hosts + static_cast<int>(f.blind_hosts.size()) > 1,
             registry = meant_for(task, "registry.path");
  add_use(block, "registry", "of one host: ", verdict.registry_here, registry);
  add_use(block, "registry", "of several hosts: ", verdict.registry_everywhere, registry && several);
  add_use(block, "run folder", "", verdict.run_folder, meant_for(task, "run.dir"));
  add_use(block, "token cache", "", verdict.cache, true);
  const bool short_lease = lease_s > 0 && lease_s < verdict.least_lease_s;
  std::string lease = fmt::format("cluster.lease_s at least {:.0f} s here", verdict.least_lease_s);
  if (lease_s > 0) lease += fmt::format(", {} {:g} s", short_lease ? "but it is" : "and it is", lease_s);
  block.add(warning_if(short_lease), "leases", lease);
  return block;
}

}  // namespace gaggle
