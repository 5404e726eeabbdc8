// The doctor's checks as plain functions: facts that were measured in, blocks of the report out.
#pragma once

#include <string>
#include <vector>

#include "app/doctor_facts.h"
#include "app/doctor_report.h"
#include "comm/link_speed.h"
#include "coordinator/folder_verdict.h"

namespace gaggle {

// Host, processor, cores, memory, limits; threads and the rate of matrix products. Names the odd host.
ReportBlock machine_block(const std::vector<RankFacts>& ranks);
// gaggle, LibTorch, MPI and the config are alike on all ranks.
ReportBlock versions_block(const std::vector<RankFacts>& ranks);

// How ranks talk: one rank of each host, or on one host all its ranks.
struct NetworkFacts {
  std::string launcher;  // "mpirun", "srun", "none"
  std::string library;
  std::vector<std::string> ends;  // names of what was paired
  std::vector<LinkSpeed> pairs;
  LinkSpeed all_to_all;        // of all ranks
  std::vector<double> clocks;  // ahead of rank 0's, by rank
};
// Collective; whole on rank 0.
NetworkFacts measure_network(const Session& session, const std::vector<std::string>& hosts);
ReportBlock network_block(const NetworkFacts& facts, const std::vector<std::string>& hosts);

ReportBlock gpu_block(const std::vector<RankFacts>& ranks, const std::vector<std::vector<GpuLink>>& links,
                      bool share_device);
std::vector<std::vector<GpuLink>> measure_gpu_links(const std::vector<GpuFacts>& gpus);  // of this host
std::string nccl_version_text();  // "NCCL 2.27.7", or why there is none

// A folder and the keys of the config that name it, or --folder.
struct FolderTask {
  std::string folder;              // is there
  std::vector<std::string> uses;   // "registry.path", "run.dir", "registry.cache", "--folder"
  std::vector<std::string> later;  // those of `uses` that are yet to be made in it
};
// lease_s: cluster.lease_s where a config names the folder as its registry; 0: none.
ReportBlock folder_block(const FolderTask& task, const FolderFacts& facts, double lease_s);

}  // namespace gaggle
