// `gaggle align RUN [RUN…]`: what one run or several runs measured, as text for the terminal.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "alignment/routing_record.h"
#include "alignment/similarity.h"
#include "alignment/windows.h"

namespace gaggle {

struct AlignmentRun {
  std::string name;
  std::vector<MeasuredStep> steps;
  AlignmentWindows windows;
  std::vector<RoutingStep> routing;            // of a run with a routing table
  std::optional<TaskSimilarity> experts = {};  // of a run of experts: at their common start, and no steps
};
// Of runs/NAME. Throws UserError that names what would write the files if there are none.
AlignmentRun read_alignment_run(const std::filesystem::path& run_folder);

// Per space: the last windows, the newest window by kind of site and by ranges of layers, the most and the
// least alike pairs of tasks, and their matrix. Then the routing table over training.
Page alignment_page(const AlignmentRun& run, int64_t pairs);

// One row per run and space: its newest window.
Table comparison_table(std::span<const AlignmentRun> runs);

}  // namespace gaggle
