// The memory that a host, and the groups a process is in, leave to it.
#include "base/control_group.h"

#include <gtest/gtest.h>

#include "made_groups.h"

namespace gaggle {
namespace {

struct Groups : test::MadeGroups {
  Groups() { write("meminfo", "MemTotal:  9000 kB\nMemFree:  10 kB\nMemAvailable:  5000 kB\n"); }
  HostMemory memory() const { return host_memory(groups(), root / "meminfo"); }
};

TEST(HostMemory, OfAHostWithoutGroups) {
  const Groups groups;
  EXPECT_EQ(groups.memory().all, 9000u * 1024);
  EXPECT_EQ(groups.memory().available, 5000u * 1024);
  EXPECT_EQ(host_memory(groups.groups(), groups.root / "none").all, 0u);
  EXPECT_GT(host_memory().available, 0u);
}

TEST(HostMemory, TheTightestOfTheGroupsAboveCounts) {
  const Groups groups;
  groups.write("membership", "0::/job/step/task\n");
  groups.write("memory.max", "max\n");
  groups.write("memory.current", "7000000\n");
  EXPECT_EQ(groups.memory().available, 5000u * 1024);
  groups.write("job/memory.max", "3000000\n");
  groups.write("job/memory.current", "2900000\n");
  groups.write("job/memory.stat", "anon 1900000\ninactive_anon 5\ninactive_file 300000\nactive_file 700000\n");
  groups.write("job/step/memory.max", "max\n");
  groups.write("job/step/memory.current", "2000000\n");
  groups.write("job/step/task/memory.max", "2500000\n");
  groups.write("job/step/task/memory.current", "1000000\n");
  EXPECT_EQ(groups.memory().all, 2500000u);
  EXPECT_EQ(groups.memory().available, 1100000u);  // of job: its cache can be taken back
  groups.write("job/step/task/memory.current", "2600000\n");
  EXPECT_EQ(groups.memory().available, 0u);
}

TEST(HostMemory, OfVersionOne) {
  const Groups groups;
  groups.write("membership", "9:name=systemd:/\n4:memory:/docker/x\n1:cpu:/\n0::/\n");
  groups.write("memory/memory.limit_in_bytes", "9223372036854771712\n");
  groups.write("memory/memory.usage_in_bytes", "4000000\n");
  EXPECT_EQ(groups.memory().available, 5000u * 1024);
  groups.write("memory/docker/x/memory.limit_in_bytes", "2000000\n");
  groups.write("memory/docker/x/memory.usage_in_bytes", "1500000\n");
  groups.write("memory/docker/x/memory.stat", "inactive_file 1\ntotal_inactive_file 500000\ntotal_active_file 0\n");
  EXPECT_EQ(groups.memory().all, 2000000u);
  EXPECT_EQ(groups.memory().available, 1000000u);
}

}  // namespace
}  // namespace gaggle
