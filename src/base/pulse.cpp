#include "base/pulse.h"

#include <atomic>
#include <mutex>

namespace gaggle {
namespace {

std::atomic<uint64_t> count = 0;
std::atomic<bool> under_way = false;
std::mutex place_mutex;  // of the two below
std::string phase_now = "start";
int64_t step_now = 0;

}  // namespace

void pulse() {
  count.fetch_add(1, std::memory_order_relaxed);
}

void pulse(std::string_view phase, int64_t step) {
  {
    const std::lock_guard lock(place_mutex);
    phase_now = phase;
    step_now = step;
  }
  pulse();
}

void pulse_under_way() {
  under_way.store(true, std::memory_order_relaxed);
  pulse();
}

Pulse current_pulse() {
  const std::lock_guard lock(place_mutex);
  return {count.load(std::memory_order_relaxed), phase_now, step_now,
          under_way.load(std::memory_order_relaxed)};
}

}  // namespace gaggle
