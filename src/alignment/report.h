// `gaggle align RUN [RUN…]`: what one run or several runs measured, as text for the terminal.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "alignment/routing_record.h"
#include "alignment/windows.h"

namespace gaggle {

struct AlignmentRun {
  std::string name;
  std::vector<MeasuredStep> steps;
  AlignmentWindows windows;
  std::vector<RoutingStep> routing;  // of a run with a routing table
};
// Of runs/NAME. Throws UserError that names what would write the files if there are none.
AlignmentRun read_alignment_run(const std::filesystem::path& run_folder);

// Per space: the last windows, the newest window by kind of site and by ranges of layers, the closest and the
// most conflicting pairs of tasks, and their matrix. Then the routing table over training.
std::string alignment_block(const AlignmentRun& run, int64_t pairs);

// One row per run and space: its newest window.
std::string comparison_table(std::span<const AlignmentRun> runs);

}  // namespace gaggle
