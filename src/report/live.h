// A line per worker and a bar, redrawn in place on a terminal; elsewhere plain lines every few seconds.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "report/progress.h"

namespace gaggle {

class LiveView {
 public:
  // plain_every: seconds between plain lines of one worker where `out` is no terminal.
  explicit LiveView(std::FILE* out, double plain_every = 5);
  ~LiveView();  // leaves the last picture standing

  // The workers' newest progress, and the bar's share and words ("4 of 6 experts · 2:41 left").
  void draw(const std::vector<WorkerStatus>& workers, double share, const std::string& words);
  // A line that stays ("tomi v0001 committed"), above the redrawn ones.
  void say(const std::string& line);
  bool terminal() const { return terminal_; }

 private:
  void erase();
  std::FILE* out_;
  bool terminal_;
  double plain_every_, last_plain_ = -1e9;
  std::vector<std::string> drawn_;
};

}  // namespace gaggle
