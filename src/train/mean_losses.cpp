#include "train/mean_losses.h"

#include <cmath>

#include "train/idle_passes.h"
#include "train/passed_batches.h"

namespace gaggle {

std::vector<double> mean_losses(BaseModel& base, SiteAdapter* adapter, const std::vector<const TokenTask*>& tasks,
                                Split split, const StepSettings& settings, Communicator& group,
                                const std::function<std::optional<Exit>()>& stop) {
  std::vector<Sample> all;
  std::vector<float> weights;
  for (size_t t = 0; t < tasks.size(); ++t) {
    const size_t before = all.size();
    for (const TokenExample& example : tasks[t]->examples(split))
      all.push_back({static_cast<int64_t>(all.size()), static_cast<int>(t), &example, 0});
    const std::vector<float> of_task = loss_weights(std::span(all).subspan(before), LossAverage::token);
    weights.insert(weights.end(), of_task.begin(), of_task.end());
  }
  const LaneRange run = lanes_of_rank(group.rank(), group.size(), settings.lanes);
  const size_t width = tasks.size() + 1;  // a lane's sums by task, then the exit code that was asked for in it
  std::vector<double> losses(static_cast<size_t>(run.end - run.begin) * width, 0);
  std::optional<Exit> asked;
  PassedBatches passed;
  std::vector<std::vector<Microbatch>> of_lanes;
  int64_t passes = 0;
  for (int64_t lane = run.begin; lane < run.end; ++lane)
    passes += static_cast<int64_t>(
        of_lanes.emplace_back(lane_microbatches(all, weights, lane, settings.lanes, settings.tokens_per_microbatch))
            .size());
  const int64_t idle = idle_passes(base, group, passes);
  for (int64_t lane = 0; lane < run.end - run.begin; ++lane) {
    const auto of_lane = std::span(losses).subspan(static_cast<size_t>(lane) * width, width);
    for (Microbatch& part : of_lanes[static_cast<size_t>(lane)]) {
      if (stop && group.rank() == 0 && !asked && (asked = stop())) of_lane.back() = static_cast<double>(*asked);
      if (asked && !base.shards()) break;
      const at::Tensor nll = base.nll(base.forward(part, adapter, nullptr), part);
      passed.add(nll, std::move(part), of_lane.first(tasks.size()));
    }
  }
  for (int64_t pass = 0; pass < idle; ++pass) {
    const Microbatch none = idle_batch(all[0]);
    base.nll(base.forward(none, adapter, nullptr), none);
  }
  passed.add_losses();
  std::vector<double> sums = sum_lanes(group, settings.lanes, losses, static_cast<int64_t>(width));
  if (sums.back() > 0) throw StopRequested{static_cast<Exit>(sums.back())};
  sums.pop_back();
  for (size_t t = 0; t < tasks.size(); ++t)
    if (tasks[t]->examples(split).empty()) sums[t] = std::nan("");
  return sums;
}

double mean_of_tasks(const std::vector<double>& losses) {
  double sum = 0, count = 0;
  for (const double loss : losses)
    if (!std::isnan(loss)) sum += loss, ++count;
  return sum / count;
}

}  // namespace gaggle
