// Ranks and their GPUs: what is refused, with whose names in it, and when tensors travel by NCCL.
#include "job/placement.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace gaggle {
namespace {

RankPlace on_gpu(const std::string& host, const std::string& gpu, int nccl = 22809) {
  return {.host = host, .gpu = gpu, .nccl = nccl, .complaint = nccl ? "" : "NCCL was not found"};
}

std::string refusal(const std::string& backend, bool share, const std::vector<RankPlace>& places) {
  Config config;
  config.comm.backend = backend;
  config.cluster.share_device = share;
  try {
    choose_data_path(config, places);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

DataPath path(const std::string& backend, const std::vector<RankPlace>& places) {
  Config config;
  config.comm.backend = backend;
  config.cluster.share_device = true;
  return choose_data_path(config, places);
}

void expect_in(const std::string& part, const std::string& whole) {
  EXPECT_NE(whole.find(part), std::string::npos) << "'" << part << "' is not in '" << whole << "'";
}

TEST(Placement, EveryRankItsOwnGpuTravelsByNccl) {
  const std::vector<RankPlace> places{on_gpu("a", "GPU-1"), on_gpu("a", "GPU-2"), on_gpu("b", "GPU-3")};
  for (const char* backend : {"auto", "nccl"}) {
    EXPECT_TRUE(path(backend, places).nccl);
    EXPECT_EQ(refusal(backend, false, places), "");
  }
  EXPECT_FALSE(path("mpi", places).nccl);
  EXPECT_EQ(path("mpi", places).because, "");
}

TEST(Placement, TwoRanksOnOneGpuAreNamed) {
  std::vector<RankPlace> places{on_gpu("a", "GPU-1"), on_gpu("b", "GPU-2"), on_gpu("b", "GPU-2")};
  for (const char* backend : {"auto", "mpi", "nccl"})
    expect_in("ranks 1 and 2 on b have the same GPU (GPU-2)", refusal(backend, false, places));
  expect_in("NCCL 2.30", path("auto", places).because);
  expect_in("NCCL 2.30", refusal("nccl", true, places));
  EXPECT_EQ(refusal("mpi", true, places), "");
  for (RankPlace& place : places) place.nccl = 23004;
  expect_in("rank 0 on a has NCCL 2.30.4, and the variable is not set", path("auto", places).because);
  for (RankPlace& place : places) place.multi_rank_gpu = true;
  EXPECT_TRUE(path("auto", places).nccl);
}

TEST(Placement, ARankWithoutAGpuAmongOthersIsNamed) {
  for (const char* backend : {"auto", "mpi"}) {
    const std::string said = refusal(backend, true, {on_gpu("a", "GPU-1"), {.host = "b"}});
    expect_in("rank 1 on b has no GPU, but rank 0 on a has one", said);
  }
  EXPECT_FALSE(path("auto", {{.host = "a"}, {.host = "a"}}).nccl);
  expect_in("rank 0 on a has no GPU", refusal("nccl", false, {{.host = "a"}, {.host = "a"}}));
}

TEST(Placement, NcclMissingOrUnlikeOnOneRankIsNamed) {
  const std::vector<RankPlace> missing{on_gpu("a", "GPU-1"), on_gpu("b", "GPU-2", 0)};
  EXPECT_EQ(path("auto", missing).because, "rank 1 on b: NCCL was not found");
  expect_in("cannot be had: rank 1 on b: NCCL was not found", refusal("nccl", false, missing));
  const std::vector<RankPlace> unlike{on_gpu("a", "GPU-1"), on_gpu("b", "GPU-2", 23000)};
  expect_in("rank 0 on a has NCCL 2.28.9, rank 1 on b has NCCL 2.30.0", path("auto", unlike).because);
}

}  // namespace
}  // namespace gaggle
