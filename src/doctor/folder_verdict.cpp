#include "doctor/folder_verdict.h"

#include <algorithm>
#include <cmath>

#include "base/table.h"

namespace gaggle {
namespace {

// NFS keeps attributes for up to 60 s (acdirmax) unless it is mounted otherwise.
constexpr double unseen_s = 60;

// "one winner each", or how often there was not.
std::string winners_text(int wrong) {
  return wrong > 0 ? with_commas(wrong) + " without exactly one winner" : "one winner each";
}

// A use that needs the first `needed` promises.
FolderUse use_with(const FolderFacts& f, size_t needed) {
  if (!f.failed.empty()) return {Fitness::no, f.failed};
  const auto promises = promises_of(f);
  for (size_t i = 0; i < needed; ++i)
    if (!promises[i].kept) return {Fitness::no, promises[i].consequence};
  return {Fitness::yes, ""};
}

FolderUse everywhere(const FolderFacts& f, const FolderUse& here) {
  if (here.fitness == Fitness::no) return here;
  if (!f.blind_hosts.empty()) {
    std::string who = f.blind_hosts[0];
    if (f.blind_hosts.size() > 1) who += fmt::format(" and {} more", f.blind_hosts.size() - 1);
    return {Fitness::no, who + " did not see what rank 0 wrote: not the same folder there"};
  }
  if (f.hosts > 1) return {Fitness::yes, ""};
  if (f.system.reach == Reach::host) return {Fitness::no, f.system.name + " belongs to this host alone"};
  return {Fitness::not_known, "one host was asked: start the doctor on several with mpirun"};
}

}  // namespace

std::vector<FolderPromise> promises_of(const FolderFacts& f) {
  const std::string who = f.ranks > 1 ? plural(f.ranks, "rank") : "2 threads";
  return {
      {"replacing", f.torn + f.missing == 0,
       fmt::format("{} times by rename under {} reads by others: {} half-written, {} missing", with_commas(f.replaced),
                   with_commas(f.reads), f.torn, f.missing),
       "a file that is replaced by rename is half-written or missing for readers"},
      {"new files", f.create_races_wrong == 0,
       fmt::format("{} races of {} (O_EXCL): {}", with_commas(f.create_races), who, winners_text(f.create_races_wrong)),
       "of two that make one new file (O_EXCL) both may win: two workers would hold one lease"},
      {"commits", f.commit_races_wrong == 0 && f.taken_name_refused,
       fmt::format("{} races of {} to rename a folder: {}; a taken name is {}", f.commit_races, who,
                   winners_text(f.commit_races_wrong), f.taken_name_refused ? "refused" : "overwritten"),
       "a folder can be renamed onto one that exists: a committed expert could be lost"}};
}

double least_lease(const Delay& delay, double slowest_write_s) {
  const double late = (delay.never ? unseen_s : delay.seconds) + slowest_write_s;
  // lease / 12 + late, twice, still within the lease.
  return std::max(10.0, std::ceil(2 * late / (1 - 2.0 / 12)));
}

FolderVerdict judge(const FolderFacts& f) {
  FolderVerdict verdict;
  verdict.registry_here = use_with(f, 3);
  if (verdict.registry_here.fitness == Fitness::yes && f.system.in_memory)
    verdict.registry_here.why = "in memory: gone when the machine restarts";
  verdict.registry_everywhere = everywhere(f, verdict.registry_here);
  // Evaluation shares its items in the run folder as training does in the registry.
  const bool several = f.hosts + static_cast<int>(f.blind_hosts.size()) > 1;
  verdict.run_folder = several ? verdict.registry_everywhere : verdict.registry_here;
  verdict.cache = use_with(f, 1);
  verdict.least_lease_s = least_lease(f.counter, f.fsync_worst_s);
  return verdict;
}

}  // namespace gaggle
