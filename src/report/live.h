// A line per worker and a bar, redrawn in place on a terminal; elsewhere plain lines every few seconds.
#pragma once

#include <string>
#include <vector>

#include "report/progress.h"

namespace gaggle {

class LiveView {
 public:
  // plain_every: seconds between plain lines where there is no terminal; the first come as soon as a worker tells of a step.
  explicit LiveView(double plain_every = 5) : plain_every_(plain_every) {}
  ~LiveView();  // takes the picture away

  // The workers' newest progress, and the bar's share and words ("4 of 6 experts · 2:41 left").
  void draw(const std::vector<WorkerStatus>& workers, double share, const std::string& words);
  // A line that stays ("tomi committed as v0001"), above the picture.
  void say(const std::string& line);
  // All is over: a line that stays takes the picture's place.
  void end(const std::string& line);

 private:
  double plain_every_, last_plain_ = -1;  // -1: nothing was drawn yet
  bool told_ = false;                     // of a step
};

}  // namespace gaggle
