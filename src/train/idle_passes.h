// Passes that a rank makes for others: who shares a base with it needs its parts of every layer.
#pragma once

#include "comm/communicator.h"
#include "data/sampler.h"
#include "model/base_model.h"

namespace gaggle {

// How many more passes than `own` the rank of the group with the most has; 0 where every rank holds its base by itself.
// Collective where they share one.
int64_t idle_passes(const BaseModel& base, Communicator& group, int64_t own);
// What is fed in one: a sample that weighs nothing.
Microbatch idle_batch(const Sample& sample);

}  // namespace gaggle
