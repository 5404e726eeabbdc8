// How far one worker is, as a line for people.
#pragma once

#include <cstdint>
#include <string>

namespace gaggle {

struct Progress {
  std::string worker;  // "rank 0"
  std::string item;    // the expert's name
  std::string phase;   // "lora", "gate", "check"
  int64_t step = 0, steps = 0;
  double loss = 0;       // nats per target token
  double grad_norm = 0;  // before clipping
  double lr = 0;
  double tokens_per_s = 0;  // rows fed per second
  double gemm_share = 0;    // useful FLOP/s as a share of the GEMM rate measured at the start; 0: not measured
  double seconds_left = 0;  // of this phase
};

// "rank 0 · tomi    · lora   37/60 · loss 0.412 · |g| 0.88 · lr 5.0e-03 · 1,420 tok/s · 55% of its GEMM rate ·
// 0:21 left"; the item is padded to item_width.
std::string progress_line(const Progress& progress, size_t item_width);

// "▕██████▌   ▏ 4 of 6 experts · 2:41 left"; share in [0, 1].
std::string progress_bar(double share, const std::string& words);

// When a job of several workers will be through: from its own pace once it has one, before that from the plan.
class Pace {
 public:
  explicit Pace(double planned_s);
  double seconds_left(double share);  // share: of all work, done so far

 private:
  double planned_s_, started_, share_at_start_ = -1;
};

}  // namespace gaggle
