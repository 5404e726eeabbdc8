// Waiting for something that can only be looked at: sleeps longer and longer between looks.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace gaggle {

// Microseconds at first, 2 ms in the end: a wait that spins takes a core from whoever computes.
class Patience {
 public:
  void wait() {
    ++looks_;
    if (looks_ <= 50) return std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::microseconds(std::min(2000, 20 * (looks_ - 50))));
  }

 private:
  int looks_ = 0;
};

}  // namespace gaggle
