// What a phase needs to go on between two of its steps, and how a checkpoint holds it.
#pragma once

#include "train/loop.h"

namespace gaggle {

// Why the training of a snapshot cannot go on (PhaseEnd::failure); "": it can.
std::string failure_in(const Snapshot& snapshot);
void put_failure(Snapshot& snapshot, const std::string& failure);

// Beside the adapter's values and the trainer's optimiser state.
struct PhaseState {
  int64_t step = 0;  // optimiser steps that are done
  // The values with the least validation loss so far; best_step = -1: none were validated.
  int64_t best_step = -1;
  double best_loss = std::numeric_limits<double>::infinity();
  at::Tensor best_values;  // [layout.size()] fp32 on the CPU
  // The newest step, if a stop cut its validation short: that is done first when the run goes on.
  std::optional<StepReport> unvalidated;
};

// Collective: the optimiser's state comes from all ranks. The tensors are copies where the values lie, so that training may
// go on, and a GPU has no host to wait for, while they are written.
Snapshot save_phase(const PhaseState& state, Trainer& trainer, Trainable& adapter);
// Also fills the adapter's values and the trainer's state.
PhaseState restore_phase(const Snapshot& snapshot, Trainer& trainer, Trainable& adapter);

// The trained values in a snapshot, in `layout`'s order.
at::Tensor snapshot_values(const Snapshot& snapshot, const ParameterLayout& layout);

}  // namespace gaggle
