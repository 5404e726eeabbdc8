// The processor of this host and the cores of it that this process may use.
#pragma once

#include <set>
#include <string>

#include "base/control_group.h"

namespace gaggle {

std::set<int> allowed_core_numbers();  // of the affinity mask
int affinity_cores();                  // how many these are

// The processor time that a control group (cgroup v2's cpu.max, v1's cpu.cfs_quota_us; docker --cpus, Kubernetes' limits)
// gives all its processes together, however many cores their masks have.
struct CpuQuota {
  double cores = 0;   // 0: there is no quota
  std::string group;  // the folder that says so: processes with the same one share it
  // What each of `sharers` processes can keep busy, at least one core; no quota: `otherwise`.
  int cores_each(int sharers, int otherwise) const;
};
// The tightest of this process' groups.
CpuQuota cpu_quota(const ControlGroups& groups = {});
int usable_cores();  // of the mask, and no more than the quota pays for

// What wants to run on this host beside what its cores can.
struct HostLoad {
  double threads = 0;  // that ran or waited to, on average over the last minute; this process' are among them
  int cores = 1;
  bool busy() const { return threads > 1.25 * cores + 0.5; }
  std::string text() const;  // "load 10.3 on 2 cores"
};
HostLoad host_load();

// /proc/cpuinfo names the model on x86; elsewhere the architecture has to do.
std::string processor_name();

}  // namespace gaggle
