#include "alignment/windows.h"

#include "base/error.h"

namespace gaggle {
namespace {

WindowMatrices matrices_of(const RunningWindow& running) {
  return {pair_cosines(running.full)[0].contiguous(),
          pair_cosines(running.halves)[0].contiguous(),
          running.full.count.clone(),
          running.halves.count.clone(),
          running.measurements,
          running.last_step};
}

// [t, t] → its pairs, row by row.
std::vector<double> pairs_of(const at::Tensor& matrix) {
  std::vector<double> pairs;
  const auto value = matrix.accessor<double, 2>();
  for (int64_t i = 0; i < matrix.size(0); ++i)
    for (int64_t j = i + 1; j < matrix.size(0); ++j) pairs.push_back(value[i][j]);
  return pairs;
}

}  // namespace

MeasuredStep add_measurement(AlignmentWindows& windows, int64_t step, GradientSpace space, const Grams& grams,
                             const BatchTasks& batch) {
  const auto groups = static_cast<int64_t>(windows.groups.size());
  const auto tasks = static_cast<int64_t>(windows.tasks.size());
  RunningWindow& running = windows.running[space];
  if (running.measurements == 0 || running.measurements == windows.window)
    running = {no_pairs(1, tasks), no_pairs(groups, tasks)};

  const at::Tensor full = group_grams(grams.full, windows.groups);
  add_pairs(running.full, full.narrow(0, 0, 1), batch.tasks, std::vector<bool>(batch.tasks.size(), true));
  add_pairs(running.halves, group_grams(grams.halves, windows.groups), batch.tasks, in_both_halves(batch));
  ++running.measurements;
  running.last_step = step;
  if (running.measurements == windows.window) windows.complete[space] = matrices_of(running);

  MeasuredStep measured;
  measured.step = step;
  measured.space = space;
  measured.tasks = static_cast<int64_t>(batch.tasks.size());
  measured.batch = batch.tasks;
  measured.window_measurements = running.measurements;
  const at::Tensor now = cosines(full), noise_free = pair_cosines(running.halves);
  for (int64_t g = 0; g < groups; ++g) {
    const SiteGroup& group = windows.groups[static_cast<size_t>(g)];
    measured.groups.push_back({group.by, group.name, pair_statistics(now[g]), pair_statistics(noise_free[g])});
  }
  measured.pair_cosines = pairs_of(now[0]);
  const at::Tensor by_site = cosines(grams.full);
  for (int64_t s = 0; s < by_site.size(0); ++s)
    measured.site_cosines.push_back(pair_statistics(by_site[s]).mean_cosine);
  return measured;
}

WindowMatrices newest_matrices(const AlignmentWindows& windows, GradientSpace space) {
  if (const auto complete = windows.complete.find(space); complete != windows.complete.end()) return complete->second;
  const auto running = windows.running.find(space);
  GAGGLE_CHECK(running != windows.running.end(), "nothing was measured in {} space", name_of(space));
  return matrices_of(running->second);
}

}  // namespace gaggle
