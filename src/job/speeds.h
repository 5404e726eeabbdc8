// How fast work of a kind goes on this kind of machine: from what items of earlier runs took, which workers keep beside the
// token cache, else from short pieces of this job's own. The GEMM rate that every start measures counts where nothing else is
// known: its moment may have had noisy neighbours.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "job/job.h"

namespace gaggle {

struct KnownSpeed {
  double flops_per_s = 0;  // of one rank
  double seconds = 0;      // of work that it comes from
};

// Both, weighted by their seconds. What is older than some minutes of work counts no more than these: machines and
// programs change.
KnownSpeed merged(KnownSpeed before, KnownSpeed now);

// What registry.cache knows of a kind for this base, dtype and machine. What is damaged is as good as absent.
std::optional<KnownSpeed> read_speed(const JobContext& context, const std::string& kind);
// Merges these into it. Warns, once per process, where the folder cannot be written to.
void keep_speeds(const JobContext& context, const std::map<std::string, KnownSpeed>& speeds);

enum class SpeedSource { earlier, measured, assumed };
struct Speed {
  double flops_per_s = 0;  // of one rank
  SpeedSource source = SpeedSource::assumed;
};
using RatesByKind = std::map<std::string, double>;  // FLOP per second of one rank

// The first of: earlier runs; measured; the mean over the job's other kinds, of what was measured, else of earlier
// runs; what is assumed.
Speed choose_speed(const std::string& kind, const RatesByKind& earlier, const RatesByKind& measured, double assumed);

struct ExpectedCosts {
  std::vector<WorkItem> open;  // as the first rank found them
  std::string source;          // of their speeds: "as in earlier runs here", "measured: short steps now, 1.7 s"
  // Where all was measured now, on processors: the share that this process got of what its threads could have used.
  double share_of_processor = 1;
};
// Sets the cost of every item, the same on all ranks. Collective.
ExpectedCosts expect_costs(const JobContext& context, Job& job);

}  // namespace gaggle
