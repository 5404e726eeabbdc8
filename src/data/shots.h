// Solved examples shown before a question: which ones, by a rule that knows no order.
#pragma once

#include <cstdint>

#include "data/task.h"

namespace gaggle {

struct ShotOptions {
  int64_t count = 0;  // before each question; 0: none
  Split from = Split::train;
  Split of = Split::test;  // whose examples get them
  uint64_t seed = 0;       // run.seed
};

// Gives each example of the split `of` its shots out of all examples of the split `from`: those with the smallest random
// numbers under a key of (seed, task, question), the smallest first. Numbers and keys are of what examples say, so
// neither ids, nor the order of a file, nor other questions change them. Examples that ask what the question asks are never
// among them, and none is there twice. Throws UserError where there are fewer than `count`.
void give_shots(Task& task, const ShotOptions& options);

}  // namespace gaggle
