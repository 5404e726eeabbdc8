#include "train/resume.h"

#include <algorithm>

#include "base/log.h"
#include "train/recipe.h"

namespace gaggle {

namespace {

void agree_on_snapshot(const std::optional<Snapshot>& snapshot, Communicator& group) {
  if (group.size() == 1) return;
  const int64_t mine[2] = {snapshot ? snapshot->phase : -1, snapshot ? snapshot->step : -1};
  int64_t first[2] = {mine[0], mine[1]};
  group.broadcast(std::as_writable_bytes(std::span(first)), 0);
  if (!std::ranges::equal(first, mine))
    system_error(
        "rank {} of the group sees the checkpoint {}-{}, its first rank {}-{}: the folder is not shared, or a "
        "listing came late",
        group.rank(), mine[0], mine[1], first[0], first[1]);
}

}  // namespace

TrainingRun begin_training(BaseModel& base, Communicator& group, const LoopHooks& hooks, const std::string& item,
                           const std::vector<CheckpointSource>& sources) {
  std::optional<Snapshot> newest;
  for (const CheckpointSource& source : sources) {
    std::optional<Snapshot> found = newest_snapshot(source.folders, source.key, source.last_step);
    if (!found) continue;
    if (!newest || std::pair(found->phase, found->step) > std::pair(newest->phase, newest->step))
      newest = std::move(found);
  }
  agree_on_snapshot(newest, group);
  const std::string difference =
      newest ? difference_text(newest->state.value("machine", nlohmann::json()), hooks.machine) : "";
  if (!difference.empty()) {
    const std::string text =
        fmt::format("{}: its checkpoint was written on another machine ({}): the result will not be the same bits",
                    item, difference);
    if (hooks.strict) throw OtherMachine(text + ". Resume where it began, or leave out run.strict");
    if (group.rank() == 0) log::warning("{}", text);
  }
  return {base, group, hooks, std::move(newest), item};
}

}  // namespace gaggle
