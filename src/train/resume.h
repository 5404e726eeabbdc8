// Before a run goes on from a checkpoint: all ranks mean the same one, and its machine was like this.
#pragma once

#include "train/loop.h"

namespace gaggle {

// With LoopHooks::strict: the checkpoint was written on another machine. Nothing is wrong with the item itself.
struct OtherMachine : UserError {
  using UserError::UserError;
};

// Collective: every rank of the group sees the snapshot that its first rank sees, else SystemError.
void agree_on_snapshot(const std::optional<Snapshot>& snapshot, Communicator& group);

// A snapshot of another kind of machine leads to other bits: a warning on the group's `first` rank, or
// OtherMachine. `what` names the item.
void check_machine(const Snapshot& from, const LoopHooks& hooks, const std::string& what, bool first);

}  // namespace gaggle
