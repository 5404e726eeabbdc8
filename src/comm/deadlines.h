// How long the main thread of a rank may stand still, in a collective or at work, before the job is ended.
#pragma once

namespace gaggle {

struct Deadlines {
  double first_s = 1800;  // until its first step is done: connections, page faults, first allocations
  double later_s = 600;
};

}  // namespace gaggle
