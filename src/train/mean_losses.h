// The loss of tasks' examples, without training.
#pragma once

#include <functional>
#include <optional>

#include "cluster/stop.h"
#include "train/trainer.h"

namespace gaggle {

// Σ nll / target tokens of each task's examples of a split with an adapter (null: the base alone); NaN: the
// task has none. Forward only, spread over the group's lanes; of `settings` lanes and tokens_per_microbatch are
// used. `stop` is asked on the group's first rank between micro-batches. Throws StopRequested on every rank together.
std::vector<double> mean_losses(BaseModel& base, SiteAdapter* adapter, const std::vector<const TokenTask*>& tasks,
                                Split split, const StepSettings& settings, Communicator& group,
                                const std::function<std::optional<Exit>()>& stop = {});
// The mean of those that are not NaN.
double mean_of_tasks(const std::vector<double>& losses);

}  // namespace gaggle
