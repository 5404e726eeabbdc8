// How far one worker is, as a line for people.
#pragma once

#include <string>

#include "coordinator/journal.h"

namespace gaggle {

// "rank 0 · tomi    · lora   37/60 · loss 0.412 · |g| 0.88 · lr 5.0e-03 · 1,420 tok/s · 55% of its GEMM rate ·
// 0:21 left"; the item is padded to item_width. Where that is longer than `columns`, whole parts are left out, what matters
// least first. An item that is scored, not trained, has no loss, gradient or rate:
// "rank 0 · arrow · tomi · score  37/60".
std::string progress_line(const WorkerStatus& worker, size_t item_width, size_t columns = std::string::npos);

// When a job of several workers will be through: from its own pace once it has one, before that from the plan.
class Pace {
 public:
  explicit Pace(double planned_s);
  double seconds_left(double share);  // share: of all work, done so far

 private:
  double planned_s_, started_, share_at_start_ = -1;
};

}  // namespace gaggle
