// How long a phase will take, from short steps on its own first batch. Nothing is left of them: random numbers are keyed,
// and the adapter is the caller's to drop.
#pragma once

#include "train/loop.h"

namespace gaggle {

// Seconds of a piece of work: of the faster of two times. What takes a second is not done again.
double faster_of_two(const std::function<void(int64_t again)>& piece);

// Expected seconds of all steps of a phase by one rank, without validation. Two steps are made with `adapter` over as much
// of the first batch as `share` of the phase's work comes to, whole lanes where they fit, one sample at least; the faster
// one counts.
double phase_seconds(BaseModel& base, Trainable& adapter, const TrainingData& data, const PhaseSettings& settings,
                     double share);

}  // namespace gaggle
