// The doctor's checks as plain functions: facts that were measured in, blocks of the report out.
#pragma once

#include <string>
#include <vector>

#include "doctor/folder_verdict.h"
#include "doctor/link_speed.h"
#include "doctor/rank_facts.h"
#include "doctor/report.h"

namespace gaggle {

// Host, processor, cores, memory, limits; threads and the rate of matrix products. Names the odd host.
ReportBlock machine_block(const std::vector<RankFacts>& ranks);
// gaggle, LibTorch, MPI and the config are alike on all ranks.
ReportBlock versions_block(const std::vector<RankFacts>& ranks);

// links: one for each pair of GPUs on the first rank's host. share_device: cluster.share_device.
ReportBlock gpu_block(const std::vector<RankFacts>& ranks, const std::vector<GpuLink>& links, bool share_device);

// How ranks talk: one rank of each host, or on one host all its ranks.
struct NetworkFacts {
  std::string launcher;           // "mpirun", "srun", "none"
  std::string library;            // "Open MPI 5.0.11 (ULFM)"
  std::vector<std::string> ends;  // names of what was paired: hosts, or "rank 0", "rank 1", …
  std::vector<RankLink> links;    // between ends; those that were measured
  LinkSpeed all_to_all;           // of all ranks
  std::vector<double> clocks;     // seconds ahead of rank 0's, by rank
};
// hosts: of every rank. Collective; whole on rank 0.
NetworkFacts measure_network(Communicator& world, const std::string& launcher, const std::vector<std::string>& hosts);
ReportBlock network_block(const NetworkFacts& facts, const std::vector<std::string>& hosts);

// A folder and the keys of the config that name it, or --folder.
struct FolderTask {
  std::string folder;              // there already
  std::vector<std::string> uses;   // "registry.path", "run.dir", "registry.cache", "--folder"
  std::vector<std::string> later;  // those of `uses` that are yet to be made in it
};
// lease_s: cluster.lease_s where a config names the folder as its registry; 0: none.
ReportBlock folder_block(const FolderTask& task, const FolderFacts& facts, double lease_s);

}  // namespace gaggle
