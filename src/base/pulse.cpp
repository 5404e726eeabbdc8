#include "base/pulse.h"

#include <atomic>

namespace gaggle {
namespace {

std::atomic<uint64_t> count = 0;
std::atomic<const char*> phase_now = "start";
std::atomic<int64_t> step_now = 0;
std::atomic<bool> under_way = false;

}  // namespace

void pulse() {
  count.fetch_add(1, std::memory_order_relaxed);
}

void pulse(const char* phase, int64_t step) {
  phase_now.store(phase, std::memory_order_relaxed);
  step_now.store(step, std::memory_order_relaxed);
  pulse();
}

void pulse_under_way() {
  under_way.store(true, std::memory_order_relaxed);
  pulse();
}

Pulse current_pulse() {
  return {count.load(std::memory_order_relaxed), phase_now.load(std::memory_order_relaxed),
          step_now.load(std::memory_order_relaxed), under_way.load(std::memory_order_relaxed)};
}

}  // namespace gaggle
