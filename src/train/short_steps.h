// How long a phase will take, from short steps on its own first batch. Nothing is left of them: random numbers are
// keyed, and the adapter is the caller's to drop.
#pragma once

#include "train/loop.h"

namespace gaggle {

// Expected seconds of all steps of a phase, which these go through together, by one rank, without validation. A step on
// one sample, which also touches what
// is made once, and one over as much of the first batch as `share` of the phase's work comes to, whole lanes where they fit, say
// what a step and what a token costs; no more than one sample: its step alone.
double phase_seconds(BaseModel& base, const std::vector<PhaseMember>& members, double share);

}  // namespace gaggle
