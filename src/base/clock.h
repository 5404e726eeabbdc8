// Time for people and for deadlines. No result of training ever depends on it.
#pragma once

#include <chrono>
#include <string>

namespace gaggle {

// Seconds on this host's monotonic clock.
inline double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Seconds since 1970 on this host's wall clock.
inline double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Since this program began, and that its threads have computed, together.
double seconds_since_start();
double processor_seconds();

// Adds the seconds of its life to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(double& sum) : sum_(sum), began_(monotonic_seconds()) {}
  ~Stopwatch() { sum_ += monotonic_seconds() - began_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& sum_;
  double began_;
};

// "2026-11-21T20:15:03Z"
std::string utc_now();

}  // namespace gaggle
