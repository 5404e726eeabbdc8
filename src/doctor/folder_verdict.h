// What a folder may be used for, judged from what was measured: plain functions.
#pragma once

#include <string>
#include <vector>

#include "doctor/folder_probe.h"

namespace gaggle {

// What the files of a folder must do for leases, commits and readers.
struct FolderPromise {
  std::string topic;
  bool kept = false;
  std::string words;        // what was measured
  std::string consequence;  // of a broken one
};
// Replacing, which every use needs; then new files and commits, which a registry needs too.
std::vector<FolderPromise> promises_of(const FolderFacts& facts);

enum class Fitness { yes, no, not_known };

struct FolderUse {
  Fitness fitness = Fitness::no;
  std::string why;  // of a no or not known; of a yes with a condition
};

struct FolderVerdict {
  FolderUse registry_here;        // of jobs on one host
  FolderUse registry_everywhere;  // of jobs on several hosts
  FolderUse run_folder;
  FolderUse cache;
  double least_lease_s = 0;
};

FolderVerdict judge(const FolderFacts& facts);

// cluster.lease_s that a lease survives: its holder raises the counter every twelfth of it; others see that
// late by `delay`, and later by the slowest write. Twice that, whole seconds, at least 10.
double least_lease(const Delay& delay, double slowest_write_s);

}  // namespace gaggle
