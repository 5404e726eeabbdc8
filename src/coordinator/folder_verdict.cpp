#include "coordinator/folder_verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace gaggle {
namespace {

// NFS keeps attributes for up to 60 s (acdirmax) unless it is mounted otherwise.
constexpr double unseen_s = 60;

FolderUse no(std::string why) {
  return {Fitness::no, std::move(why)};
}

// What every use needs: files that are there whole or not at all.
FolderUse replacing(const FolderFacts& f) {
  if (!f.failed.empty()) return no(f.failed);
  if (f.torn > 0)
    return no(fmt::format("{} of {} reads saw a half-written file after a rename", f.torn, f.reads));
  if (f.missing > 0)
    return no(
        fmt::format("a file that is replaced by rename was missing in {} of {} reads", f.missing, f.reads));
  return {Fitness::yes, ""};
}

FolderUse registry(const FolderFacts& f) {
  if (const FolderUse base = replacing(f); base.fitness == Fitness::no) return base;
  if (f.create_races_wrong > 0)
    return no(
        fmt::format("{} of {} races for one new file (O_EXCL) had not exactly one winner: "
                    "two workers would hold one lease",
                    f.create_races_wrong, f.create_races));
  if (f.commit_races_wrong > 0)
    return no(fmt::format("{} of {} races to rename a folder onto one name had not exactly one winner",
                          f.commit_races_wrong, f.commit_races));
  if (!f.taken_name_refused)
    return no("a folder can be renamed onto one that is there: a committed expert could be lost");
  return {Fitness::yes, f.system.in_memory ? "in memory: gone when the machine restarts" : ""};
}

FolderUse everywhere(const FolderFacts& f, const FolderUse& here) {
  if (here.fitness == Fitness::no) return here;
  if (!f.blind_hosts.empty()) {
    std::string who = f.blind_hosts[0];
    if (f.blind_hosts.size() > 1) who += fmt::format(" and {} more", f.blind_hosts.size() - 1);
    return no(fmt::format("{} did not see what rank 0 wrote: not the same folder there", who));
  }
  if (f.hosts > 1) return {Fitness::yes, ""};
  if (f.system.reach == Reach::host) return no(fmt::format("{} belongs to this host alone", f.system.name));
  return {Fitness::not_known, "one host was asked: start the doctor on several with mpirun"};
}

}  // namespace

double least_lease(const Delay& delay, double slowest_write_s) {
  const double late = (delay.never ? unseen_s : delay.seconds) + slowest_write_s;
  // lease / 12 + late, twice, still within the lease.
  return std::max(10.0, std::ceil(2 * late / (1 - 2.0 / 12)));
}

FolderVerdict judge(const FolderFacts& f) {
  FolderVerdict verdict;
  verdict.registry_here = registry(f);
  verdict.registry_everywhere = everywhere(f, verdict.registry_here);
  // Evaluation shares its items in the run folder as training does in the registry.
  const bool several = f.hosts + static_cast<int>(f.blind_hosts.size()) > 1;
  verdict.run_folder = several ? verdict.registry_everywhere : verdict.registry_here;
  verdict.cache = replacing(f);
  verdict.least_lease_s = least_lease(f.counter, f.fsync_worst_s);
  return verdict;
}

}  // namespace gaggle
