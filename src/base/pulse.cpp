#include "base/pulse.h"

#include <mutex>

namespace gaggle {
namespace {

std::mutex mutex;
Pulse now{.phase = "start"};

}  // namespace

void pulse() {
  const std::lock_guard lock(mutex);
  ++now.count;
}

void pulse(std::string_view phase, int64_t step) {
  const std::lock_guard lock(mutex);
  ++now.count;
  now.phase = phase;
  now.step = step;
}

void pulse_under_way() {
  const std::lock_guard lock(mutex);
  ++now.count;
  now.under_way = true;
}

Pulse current_pulse() {
  const std::lock_guard lock(mutex);
  return now;
}

}  // namespace gaggle
