// A stretch of work that may take long (reading, hashing, tokenising, importing, …): after two seconds it says how far it
// is. On a terminal a line with a bar stands until it is over; elsewhere one line is written, once.
#pragma once

#include <atomic>
#include <string>

namespace gaggle {

class LongPhase {
 public:
  // `doing`: "reading smollm2". `all`: of what is counted (bytes, examples, folders); 0: not known, so that neither a
  // share nor a time is said. One inside another, or beside a live view, is silent.
  // `patience_s`: before it says anything.
  LongPhase(std::string doing, double all, double patience_s = 2);
  ~LongPhase();
  LongPhase(const LongPhase&) = delete;
  LongPhase& operator=(const LongPhase&) = delete;
  // So much more is done. From any thread; costs next to nothing.
  void add(double done = 1);

 private:
  void show(double seconds);
  std::string doing_;
  double all_, begun_;
  bool shown_;  // the outermost
  std::atomic<double> done_ = 0, next_look_;
  bool said_ = false;
};

// Nothing is said in this process: a rank that is not the first.
void silence_long_phases();

// "▕██████▌   ▏ 4 of 6 experts · 2:41 left": a bar that is narrow on narrow terminals; share in [0, 1].
std::string progress_bar(double share, const std::string& words);

}  // namespace gaggle
