// The single trials of a folder probe. Every trial is collective: what fails on a rank is noted, and the rank
// stays in step with the others.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "doctor/folder_probe.h"

namespace gaggle {

struct Trial {
  Communicator& comm;
  std::filesystem::path folder;
  LeaseFiles& files;
  std::vector<std::string> hosts;  // of every rank
  bool first_of_host;
  std::string failed;  // what this rank could not do

  Trial(Communicator& group, const std::string& host, std::filesystem::path place, LeaseFiles& lease_files);
  bool leads() const { return comm.rank() == 0; }
  // Runs `what`; an exception of the file system is noted instead of thrown.
  void attempt(const std::function<void()>& what);
  // What the first rank says, on every rank.
  double of_first(double mine);
  double sum(double mine);
  double largest(double mine);
};

// Polls until `seen` says yes, at first every fraction of a millisecond; never: not within patience_s.
Delay seconds_until(const std::function<bool()>& seen, double patience_s);

void try_replacing(Trial& trial, double seconds, FolderFacts& facts);
void try_create_races(Trial& trial, double seconds, FolderFacts& facts);
void try_commit_races(Trial& trial, double seconds, FolderFacts& facts);
void try_visibility(Trial& trial, double patience_s, FolderFacts& facts);
void try_links_and_locks(Trial& trial, FolderFacts& facts);
void try_fsync(Trial& trial, FolderFacts& facts);
void try_small_files(Trial& trial, double seconds, FolderFacts& facts);
void try_speed(Trial& trial, int64_t megabytes, FolderFacts& facts);

}  // namespace gaggle
