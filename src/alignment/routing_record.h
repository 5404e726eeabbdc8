// The routing table over training, runs/NAME/routing.jsonl: one line per time it was looked at, with the
// numbers of every site, their means by kind of site, and the weights themselves, of which nothing is read back.
#pragma once

#include <filesystem>

#include "alignment/routing_table.h"

namespace gaggle {

struct RoutingStep {
  int64_t step = 0;                     // done so far
  std::vector<RoutingNumbers> by_kind;  // routing_by_kind
};

// Adds a line, and returns what it says by kind.
std::vector<RoutingNumbers> record_routing(const std::filesystem::path& run_folder, int64_t step,
                                           std::span<const RoutingSite> sites);
// Keeps the lines of steps up to `step`: a run that goes on from there looks at the later ones again.
void truncate_routing(const std::filesystem::path& run_folder, int64_t step);
// Throws UserError naming a line that is not ours.
std::vector<RoutingStep> read_routing(const std::filesystem::path& run_folder);

// The means over all sites, a line a step; of many steps about six, with the first and the last.
Table routing_over_training_table(std::span<const RoutingStep> steps);

}  // namespace gaggle
