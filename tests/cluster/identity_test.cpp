// Who am I, from made environments of Open MPI, PMIx and Slurm.
#include "cluster/identity.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <map>
#include <string>

#include "../base/made_groups.h"
#include "base/error.h"
#include "cluster/cores.h"

namespace gaggle {
namespace {

// Exactly these launcher variables, whatever started the test.
void set_environment(const std::map<std::string, std::string>& variables) {
  for (const char* name :
       {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
        "PMIX_RANK", "SLURM_NTASKS", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID",
        "SLURM_NODEID", "SLURM_PROCID", "SLURM_TASKS_PER_NODE", "SLURM_STEP_TASKS_PER_NODE", "PMI_SIZE"})
    ::unsetenv(name);
  for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
}

void expect(const Identity& me, int rank, int size, int local_rank, int local_size, const std::string& launcher) {
  EXPECT_EQ(me.rank, rank);
  EXPECT_EQ(me.size, size);
  EXPECT_EQ(me.local_rank, local_rank);
  EXPECT_EQ(me.local_size, local_size);
  EXPECT_EQ(me.launcher, launcher);
  EXPECT_FALSE(me.host.empty());
}

TEST(Identity, Alone) {
  set_environment({});
  expect(identify(false), 0, 1, 0, 1, "none");
  EXPECT_EQ(launched_rank(), 0);
}

TEST(Identity, OpenMpi) {
  set_environment({{"OMPI_COMM_WORLD_RANK", "3"},
                   {"OMPI_COMM_WORLD_SIZE", "4"},
                   {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                   {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  expect(identify(false), 3, 4, 1, 2, "mpirun");
  expect(identify(true), 0, 1, 1, 2, "none");
  EXPECT_EQ(launched_rank(), 3);
}

TEST(Identity, SlurmWithPmix) {
  set_environment({{"PMIX_RANK", "5"},
                   {"SLURM_NTASKS", "7"},
                   {"SLURM_STEP_NUM_TASKS", "7"},
                   {"SLURM_LOCALID", "1"},
                   {"SLURM_NODEID", "2"},
                   {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1"}});
  expect(identify(false), 5, 7, 1, 2, "srun");
  ::setenv("SLURM_NODEID", "3", 1);
  EXPECT_EQ(identify(false).local_size, 1);
}

TEST(Identity, SlurmWithoutPmixIsRefusedWithTwoWaysOut) {
  set_environment(
      {{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "2"}, {"SLURM_LOCALID", "2"}, {"SLURM_TASKS_PER_NODE", "4"}});
  try {
    identify(false);
    FAIL();
  } catch (const UserError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("--mpi=pmix"), std::string::npos);
    EXPECT_NE(message.find("--cluster.independent=true"), std::string::npos);
  }
  expect(identify(true), 0, 1, 2, 4, "none");
  EXPECT_EQ(launched_rank(), 2);
  set_environment({{"SLURM_NTASKS", "1"}});
  expect(identify(false), 0, 1, 0, 1, "none");
}

// salloc -n 8 and batch scripts: nobody has started eight processes yet.
TEST(Identity, TheShellOfASlurmJobWillDoForLooks) {
  set_environment({{"SLURM_JOB_ID", "1"}, {"SLURM_NTASKS", "8"}, {"SLURM_TASKS_PER_NODE", "8"}, {"SLURM_PROCID", "0"}});
  expect(identify(false, true), 0, 1, 0, 1, "none");
  EXPECT_EQ(identify(false, true).shell_of_tasks, 8);
  EXPECT_THROW(identify(false), UserError);
  EXPECT_EQ(identify(true, true).local_size, 8);
  ::setenv("SLURM_STEP_ID", "0", 1);  // srun --mpi=none: eight of these
  ::setenv("SLURM_STEP_NUM_TASKS", "8", 1);
  EXPECT_THROW(identify(false, true), UserError);
  ::setenv("SLURM_STEP_NUM_TASKS", "1", 1);  // salloc with use_interactive_step
  expect(identify(false, true), 0, 1, 0, 1, "none");
  set_environment({});
}

TEST(Identity, ARankOfAnotherMpiIsRefusedUnlessItWorksForItself) {
  set_environment({{"PMI_SIZE", "2"}});
  EXPECT_THROW(identify(false), UserError);
  expect(identify(true), 0, 1, 0, 1, "none");
  set_environment({{"PMI_SIZE", "1"}});
  expect(identify(false), 0, 1, 0, 1, "none");
  set_environment({});
}

TEST(Identity, NonsenseIsNamed) {
  set_environment({{"OMPI_COMM_WORLD_RANK", "two"}});
  EXPECT_THROW(identify(false), UserError);
  set_environment({{"OMPI_COMM_WORLD_RANK", "4"}, {"OMPI_COMM_WORLD_SIZE", "4"}});
  EXPECT_THROW(identify(false), UserError);
  set_environment({});
}

TEST(Identity, CoresOfTheMask) {
  EXPECT_GE(affinity_cores(), 1);
  EXPECT_EQ(static_cast<int>(allowed_core_numbers().size()), affinity_cores());
}

struct Groups : test::MadeGroups {
  CpuQuota quota() const { return cpu_quota(groups()); }
};

TEST(CpuQuota, OfVersionTwo) {
  const Groups groups;
  EXPECT_EQ(groups.quota().cores, 0);
  groups.write("cpu.max", "150000 100000\n");
  EXPECT_EQ(groups.quota().cores, 1.5);
  EXPECT_EQ(groups.quota().group, groups.root.string());
  groups.write("cpu.max", "max 100000\n");
  EXPECT_EQ(groups.quota().cores, 0);
}

TEST(CpuQuota, TheTightestOfTheGroupsAboveCounts) {
  const Groups groups;
  groups.write("membership", "0::/job/step/task\n");
  groups.write("job/cpu.max", "400000 100000\n");
  groups.write("job/step/cpu.max", "max 100000\n");
  EXPECT_EQ(groups.quota().cores, 4);
  EXPECT_EQ(groups.quota().group, (groups.root / "job").string());
  groups.write("job/step/task/cpu.max", "200000 100000\n");
  EXPECT_EQ(groups.quota().cores, 2);
  groups.write("membership", "0::/a/path/of/the/host\n");  // as in a container
  EXPECT_EQ(groups.quota().cores, 0);
  groups.write("cpu.max", "300000 100000\n");
  EXPECT_EQ(groups.quota().cores, 3);
}

TEST(CpuQuota, OfVersionOne) {
  const Groups groups;
  groups.write("membership", "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/\n");
  groups.write("cpu,cpuacct/docker/x/cpu.cfs_quota_us", "250000\n");
  groups.write("cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(groups.quota().cores, 2.5);
  groups.write("cpu,cpuacct/docker/x/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(groups.quota().cores, 0);
  groups.write("cpu/cpu.cfs_quota_us", "50000\n");  // the container's own root
  groups.write("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(groups.quota().cores, 0.5);
}

TEST(CpuQuota, IsSharedByTheProcessesOfItsGroup) {
  const CpuQuota none, four{4.5, "group"}, half{0.5, "group"};
  EXPECT_EQ(none.cores_each(3, 8), 8);
  EXPECT_EQ(four.cores_each(1, 8), 4);
  EXPECT_EQ(four.cores_each(2, 8), 2);
  EXPECT_EQ(four.cores_each(9, 8), 1);
  EXPECT_EQ(half.cores_each(1, 8), 1);
  EXPECT_LE(usable_cores(), affinity_cores());
  EXPECT_GE(usable_cores(), 1);
}

}  // namespace
}  // namespace gaggle
