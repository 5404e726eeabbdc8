#include "train/resume.h"

#include "base/log.h"
#include "train/recipe.h"

namespace gaggle {

namespace {

void agree_on_snapshot(const std::optional<Snapshot>& snapshot, Communicator& group) {
  if (group.size() == 1) return;
  int64_t place[2] = {snapshot ? snapshot->phase : -1, snapshot ? snapshot->step : -1};
  const int64_t mine[2] = {place[0], place[1]};
  group.broadcast(std::as_writable_bytes(std::span(place)), 0);
  if (place[0] != mine[0] || place[1] != mine[1])
    system_error(
        "rank {} of the group sees the checkpoint {}-{}, its first rank {}-{}: the folder is not shared, or a "
        "listing came late",
        group.rank(), mine[0], mine[1], place[0], place[1]);
}

// `first`: this is the group's first rank, which warns.
void check_machine(const Snapshot& from, const LoopHooks& hooks, const std::string& what, bool first) {
  const std::string difference = difference_text(from.state.value("machine", nlohmann::json()), hooks.machine);
  if (difference.empty()) return;
  const std::string text = fmt::format(
      "{}: its checkpoint was written on another machine ({}): the result will not be the same bits", what,
      difference);
  if (hooks.strict) throw OtherMachine(text + ". Resume where it began, or leave out run.strict");
  if (first) log::warning("{}", text);
}

}  // namespace

TrainingRun begin_training(BaseModel& base, Communicator& group, const LoopHooks& hooks,
                           const std::string& item, const std::vector<CheckpointSource>& sources) {
  const auto place = [](const Snapshot& snapshot) { return std::pair(snapshot.phase, snapshot.step); };
  std::optional<Snapshot> newest;
  for (const CheckpointSource& source : sources) {
    std::optional<Snapshot> found = newest_snapshot(source.folders, source.key, source.last_step);
    if (found && (!newest || place(*found) > place(*newest))) newest = std::move(found);
  }
  agree_on_snapshot(newest, group);
  if (newest) check_machine(*newest, hooks, item, group.rank() == 0);
  return {base, group, hooks, std::move(newest)};
}

}  // namespace gaggle
