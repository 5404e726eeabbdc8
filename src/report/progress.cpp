#include "report/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "base/table.h"

namespace gaggle {

std::string progress_line(const WorkerStatus& worker, size_t item_width) {
  const WorkerProgress& p = worker.progress;
  std::string line = fmt::format("rank {} · {:<{}}", worker.rank, p.item, item_width);
  if (p.steps == 0) return line;
  line += fmt::format(" · {:<5} {:>{}}/{}", p.phase, p.step, std::to_string(p.steps).size() + 1, p.steps);
  if (p.lr == 0 && p.grad_norm == 0) return line;
  line += fmt::format(" · loss {:.3f} · |g| {:.2f} · lr {:.1e} · {} tok/s", p.loss, p.grad_norm, p.lr,
                      with_commas(std::llround(p.tokens_per_s)));
  if (p.gemm_share > 0) line += fmt::format(" · {:.0f}% of its GEMM rate", 100 * p.gemm_share);
  return line + fmt::format(" · {} left", time_text(p.seconds_left));
}

std::string progress_bar(double share, const std::string& words) {
  constexpr int width = 30;
  static constexpr const char* eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int filled = static_cast<int>(std::clamp(share, 0.0, 1.0) * width * 8);
  std::string bar;
  for (int i = 0; i < filled / 8; ++i) bar += "█";
  bar += eighths[filled % 8];
  const int used = filled / 8 + (filled % 8 ? 1 : 0);
  return "▕" + bar + std::string(static_cast<size_t>(width - used), ' ') + "▏ " + words;
}

Pace::Pace(double planned_s) : planned_s_(planned_s), started_(monotonic_seconds()) {}

double Pace::seconds_left(double share) {
  if (share_at_start_ < 0) share_at_start_ = share;
  const double gained = share - share_at_start_, elapsed = monotonic_seconds() - started_;
  return gained > 0.02 ? elapsed * (1 - share) / gained : planned_s_ * (1 - share);
}

}  // namespace gaggle
