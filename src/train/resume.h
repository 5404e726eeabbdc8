// The start of an item's training: the checkpoint that it goes on from, on which all ranks agree.
#pragma once

#include "train/loop.h"

namespace gaggle {

// With LoopHooks::strict: the checkpoint was written on another machine. Nothing is wrong with the item itself.
struct OtherMachine : UserError {
  using UserError::UserError;
};

// Folders with checkpoints of a key; those of later steps than last_step are not for this item.
struct CheckpointSource {
  std::vector<std::filesystem::path> folders;
  std::string key;
  int64_t last_step = std::numeric_limits<int64_t>::max();
};

// Finds the newest checkpoint of all sources. Collective: throws SystemError on a rank of the group that does
// not see the one that the first rank sees. One that was written on another kind of machine leads to other
// bits: a warning that names `item`, or OtherMachine.
TrainingRun begin_training(BaseModel& base, Communicator& group, const LoopHooks& hooks, const std::string& item,
                           const std::vector<CheckpointSource>& sources);

}  // namespace gaggle
