// What a run keeps of alignment in training: each measured step's numbers, and T×T sums over a window of them.
#pragma once

#include <map>

#include "alignment/gram.h"
#include "alignment/statistics.h"

namespace gaggle {

struct GroupNumbers {
  std::string by, name;       // of the SiteGroup
  PairStatistics cosine;      // of this measurement
  PairStatistics noise_free;  // of the running window, this measurement included
};

// One line of alignment.jsonl. What it says of single pairs is for who draws them: it is not read back.
struct MeasuredStep {
  int64_t step = 0;
  GradientSpace space = GradientSpace::skill;
  int64_t tasks = 0;                     // in the batch
  std::vector<int> batch;                // their numbers, ascending
  std::vector<double> pair_cosines;      // of its pairs, all sites: (0, 1), (0, 2), …, (1, 2), …
  int64_t window_measurements = 0;       // in the running window, this one included
  std::vector<GroupNumbers> groups;      // "all" first
  std::vector<double> site_cosines;      // mean cosine by site
  int64_t sketch_dims = 0;               // 0: exact
  double sketch_error = unknown;         // typical standard error of a cosine
  double seconds = 0, step_seconds = 0;  // of the measurement, of the step without it
};

// Cosines of a whole window, all sites, [T, T]; NaN: no such pair. count: measurements of each pair.
struct WindowMatrices {
  at::Tensor cosine, noise_free;              // fp64
  at::Tensor cosine_count, noise_free_count;  // int64
  int64_t measurements = 0, last_step = 0;
};

struct RunningWindow {
  PairSums full;    // [1, T, T], all sites
  PairSums halves;  // [groups, T, T]
  int64_t measurements = 0, last_step = 0;
};

struct AlignmentWindows {
  std::vector<std::string> tasks;  // names of the T tasks of the run
  std::vector<SiteGroup> groups;
  int64_t window = 20;  // measurements; then the sums begin anew
  std::map<GradientSpace, RunningWindow> running;
  std::map<GradientSpace, WindowMatrices> complete;  // the newest
};

// Adds a measurement (Grams [sites, t, t] of the batch's t tasks) and returns its numbers; sketch and times are
// the caller's to fill in.
MeasuredStep add_measurement(AlignmentWindows& windows, int64_t step, GradientSpace space, const Grams& grams,
                             const BatchTasks& batch);

// Of the newest complete window, or of the running one if there is none yet.
WindowMatrices newest_matrices(const AlignmentWindows& windows, GradientSpace space);

}  // namespace gaggle
