// The doctor's blocks from facts: hosts that differ, ranks that share, folders that fail; how a report reads.
#include <gtest/gtest.h>

#include "doctor/checks.h"

namespace gaggle {
namespace {

RankFacts rank_on(const std::string& host) {
  RankFacts rank;
  rank.host = host, rank.kernel = "Linux 6.1", rank.processor = "Xeon";
  rank.cores = 4, rank.allowed_cores = 2, rank.mask = "0-1";
  rank.memory_bytes = 64'000'000'000, rank.available_bytes = 32'000'000'000, rank.open_files = 65536;
  rank.temporary = "/tmp", rank.temporary_free_bytes = rank.shared_memory_free_bytes = 9'000'000'000;
  rank.gaggle = "0.1", rank.libtorch = "2.11.0", rank.mpi = "Open MPI 5.0.11";
  rank.config = {{"train.lr", "0.005"}};
  rank.fp32 = {1e11, "cpu fp32"}, rank.bf16 = {1e12, "cpu bf16"};
  return rank;
}

std::vector<RankFacts> three_hosts() { return {rank_on("a"), rank_on("b"), rank_on("c")}; }

Severity worst(const ReportBlock& block) {
  Severity worst = Severity::ok;
  for (const Finding& finding : block.findings)
    if (finding.severity != Severity::note) worst = std::max(worst, finding.severity);
  return worst;
}

std::string words_of(const ReportBlock& block, const std::string& topic) {
  for (const Finding& finding : block.findings)
    if (finding.topic == topic) return finding.words;
  return "";
}

TEST(DoctorMachine, EqualHostsAreFine) {
  EXPECT_EQ(worst(machine_block(three_hosts())), Severity::ok);
  EXPECT_EQ(worst(versions_block(three_hosts())), Severity::ok);
}

TEST(DoctorMachine, TheOddHostIsNamed) {
  auto ranks = three_hosts();
  ranks[1].processor = "EPYC";
  ranks[2].bf16.flops_per_s = 1e11;
  ranks[2].open_files = 256;
  const ReportBlock block = machine_block(ranks);
  EXPECT_EQ(worst(block), Severity::warning);
  EXPECT_NE(words_of(block, "processor").find("b has EPYC, the others Xeon"), std::string::npos);
  EXPECT_NE(words_of(block, "bf16").find("rank 2 on c has 100 GFLOP/s only"), std::string::npos);
  EXPECT_NE(words_of(block, "open files").find("on c"), std::string::npos);
}

TEST(DoctorMachine, ThreadsAboveTheCoresAreSeen) {
  std::vector<RankFacts> ranks = {rank_on("a"), rank_on("a")};
  EXPECT_EQ(worst(machine_block(ranks)), Severity::ok);
  for (RankFacts& rank : ranks) rank.threads = 2;
  EXPECT_NE(words_of(machine_block(ranks), "threads").find("2 ranks of 2 threads share 2 cores (mask 0-1) on a"),
            std::string::npos);
}

TEST(DoctorMachine, ABusyHostIsSomethingToLookAt) {
  std::vector<RankFacts> ranks = three_hosts();
  ranks[1].load = 4.5;
  EXPECT_EQ(worst(machine_block(ranks)), Severity::ok);
  ranks[1].load = 10.3;
  EXPECT_EQ(worst(machine_block(ranks)), Severity::warning);
  EXPECT_NE(words_of(machine_block(ranks), "load").find("10.3 on 4 cores of b: other work"), std::string::npos);
  EXPECT_EQ(verdict_block({machine_block(ranks)}), "\nbusy: load 10.3 on 4 cores of b; but for that fit\n");
}

TEST(DoctorMachine, ThreadsAboveTheQuotaAreSeen) {
  std::vector<RankFacts> ranks = {rank_on("a"), rank_on("a"), rank_on("b")};
  for (RankFacts& rank : ranks) rank.quota_cores = 1.5, rank.quota_group = "/sys/fs/cgroup/pod";
  const ReportBlock block = machine_block(ranks);
  EXPECT_NE(words_of(block, "cores").find("4 on the host, 2 for each rank, a quota of 1.5"), std::string::npos);
  EXPECT_NE(words_of(block, "threads").find("2 threads on a share processor time for 1.5"), std::string::npos);
  EXPECT_EQ(worst(machine_block({ranks[2]})), Severity::ok);
}

TEST(DoctorVersions, OtherVersionsAndConfigsAreWrong) {
  for (std::string RankFacts::*member : {&RankFacts::gaggle, &RankFacts::libtorch, &RankFacts::mpi}) {
    auto ranks = three_hosts();
    ranks[1].*member = "0.0";
    const ReportBlock block = versions_block(ranks);
    EXPECT_EQ(worst(block), Severity::error);
    EXPECT_NE(findings_block(block, 1000).find("b has 0.0, the others"), std::string::npos);
  }
  auto ranks = three_hosts();
  ranks[2].config["train.lr"] = "0.001";
  EXPECT_EQ(words_of(versions_block(ranks), "config"), "c has train.lr = 0.001, the others train.lr = 0.005");
  ranks[2].config.clear();
  EXPECT_NE(words_of(versions_block(ranks), "config").find("c has no config"), std::string::npos);
}

TEST(DoctorGpus, SharedAndMissingGpusAreWrong) {
  auto ranks = three_hosts();
  EXPECT_EQ(worst(gpu_block(ranks, {}, false)), Severity::ok);
  for (RankFacts& rank : ranks) {
    rank.has_gpu = true;
    rank.gpus = {{"H100", "GPU-" + rank.host, "0000:1b:00", "9.0", 80'000'000'000}};
  }
  EXPECT_EQ(worst(gpu_block(ranks, {}, false)), Severity::ok);
  ranks[2] = ranks[1];
  EXPECT_EQ(worst(gpu_block(ranks, {}, false)), Severity::error);
  EXPECT_NE(words_of(gpu_block(ranks, {}, false), "shared").find("ranks 1 and 2 on b compute on one GPU"),
            std::string::npos);
  EXPECT_EQ(worst(gpu_block(ranks, {}, true)), Severity::warning);
  ranks[2] = rank_on("c");
  EXPECT_NE(words_of(gpu_block(ranks, {}, false), "in use").find("c has no GPU"), std::string::npos);
  EXPECT_EQ(words_of(gpu_block(ranks, {GpuLink::nvlink}, false), "links"), "1 pair over NVLink on a");
}

NetworkFacts network_of_three() {
  const LinkSpeed usual = {2e-6, 1e10};
  return {"mpirun", "Open MPI 5.0.11", {"a", "b", "c"}, {{0, 1, usual}, {0, 2, usual}, {1, 2, usual}},
          usual,    {0, 0, 0}};
}

TEST(DoctorNetwork, ClocksAndLinksThatAreOff) {
  NetworkFacts facts = network_of_three();
  EXPECT_EQ(worst(network_block(facts, {"a", "b", "c"})), Severity::ok);
  facts.clocks[2] = -90;
  EXPECT_NE(words_of(network_block(facts, {"a", "b", "c"}), "clocks").find("c is 90.0 s behind a"), std::string::npos);
  facts.links[0].speed = {2e-6, 1e8};
  EXPECT_NE(words_of(network_block(facts, {"a", "b", "c"}), "slow").find("a and b"), std::string::npos);
}

FolderFacts shared_folder() {
  FolderFacts facts;
  facts.system = file_system_of_magic(0x6969);
  facts.ranks = facts.hosts = 3;
  facts.free_bytes = 100'000'000'000;
  facts.replaced = facts.reads = facts.create_races = facts.commit_races = 10;
  facts.taken_name_refused = true;
  facts.creates_per_s = 1000;
  facts.write_bytes_per_s_of = {1e8, 1e8, 1e8};
  return facts;
}

TEST(DoctorFolders, WhatTheConfigNeedsMustBeThere) {
  const FolderTask registry{"/shared", {"registry.path"}, {}}, cache{"/shared", {"registry.cache"}, {}};
  EXPECT_EQ(worst(folder_block(registry, shared_folder(), 120)), Severity::ok);
  FolderFacts apart = shared_folder();
  apart.blind_hosts = {"c"};
  EXPECT_EQ(worst(folder_block(registry, apart, 120)), Severity::error);
  EXPECT_NE(findings_block(folder_block(registry, apart, 120), 1000).find("c did not see what rank 0 wrote"),
            std::string::npos);
  EXPECT_EQ(worst(folder_block(cache, apart, 0)), Severity::ok);
  FolderFacts readonly;
  readonly.failed = "/shared cannot be written to (Read-only file system) on b";
  EXPECT_EQ(worst(folder_block(cache, readonly, 0)), Severity::error);
}

TEST(DoctorFolders, ShortLeasesAndSlowFoldersAreNamed) {
  const FolderTask registry{"/shared", {"registry.path"}, {}};
  FolderFacts slow = shared_folder();
  slow.counter = {20, false};
  EXPECT_EQ(words_of(folder_block(registry, slow, 30), "leases"), "cluster.lease_s at least 48 s here, but it is 30 s");
  EXPECT_EQ(worst(folder_block(registry, slow, 30)), Severity::warning);
  EXPECT_EQ(worst(folder_block(registry, slow, 120)), Severity::ok);
  slow = shared_folder();
  slow.in_listing = {3, true};
  EXPECT_EQ(worst(folder_block(registry, slow, 120)), Severity::warning);
  EXPECT_NE(words_of(folder_block(registry, slow, 120), "seen by others").find("not within 3.0 s in the listing"),
            std::string::npos);
}

TEST(DoctorReport, LinesAreAlignedAndFoldedUnderThemselves) {
  ReportBlock block{"machine"};
  block.add(Severity::ok, "host", "a");
  block.add(Severity::warning, "open files", "one two three four five six seven eight");
  EXPECT_EQ(findings_block(block, 60),
            "\nmachine\n"
            "  ok            host        a\n"
            "  look at this  open files  one two three four five six\n"
            "                            seven eight\n");
  EXPECT_EQ(verdict_block({block}), "\nfit, with 1 thing to look at (machine: open files)\n");
  EXPECT_TRUE(is_fit({block}));
  block.add(Severity::error, "GPU", "none");
  EXPECT_EQ(verdict_block({block}), "\nnot fit: 1 wrong (machine: GPU)\n");
  EXPECT_FALSE(is_fit({block}));
}

TEST(DoctorReport, DurationsHaveUnits) {
  EXPECT_EQ(duration_text(12e-6), "12 µs");
  EXPECT_EQ(duration_text(1.25e-3), "1.2 ms");
  EXPECT_EQ(duration_text(0.25), "250 ms");
  EXPECT_EQ(duration_text(2.5), "2.5 s");
}

}  // namespace
}  // namespace gaggle
