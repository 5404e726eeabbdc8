// Signs of life of this process' main thread. A watchdog sees by them whether it works, and says where it is if
// it does not. In a process whose ranks are threads nobody watches, and their pulses mix without harm.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gaggle {

struct Pulse {
  uint64_t count = 0;      // grows with every piece of work
  std::string phase;       // "start", "lora", "validation", …
  int64_t step = 0;        // of the phase: being worked on
  bool under_way = false;  // a first step, row or item is behind us
};

// A small piece of work is done: a micro-batch, a tensor read, a look at the queue. Costs next to nothing.
void pulse();
// What the main thread does from here on.
void pulse(std::string_view phase, int64_t step);
// A whole step is done: connections are made, memory is allocated, shorter deadlines hold from here on.
void pulse_under_way();
Pulse current_pulse();

}  // namespace gaggle
