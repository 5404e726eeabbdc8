#include "report/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/clock.h"
#include "base/screen.h"
#include "base/table.h"

namespace gaggle {

std::string progress_line(const WorkerStatus& worker, size_t item_width, size_t columns) {
  const WorkerProgress& p = worker.progress;
  const auto first = [&](size_t width) {
    const std::string name = cut_in_the_middle(p.item, width);
    std::string line = fmt::format("rank {} · {}{}", worker.rank, name, std::string(width - columns_of(name), ' '));
    if (p.steps > 0)
      line += fmt::format(" · {:<5} {:>{}}/{}", p.phase, p.step, std::to_string(p.steps).size() + 1, p.steps);
    return line;
  };
  std::string line = first(std::max(item_width, columns_of(p.item)));
  // A long name gives way before any number does.
  if (const size_t wide = columns_of(line); wide > columns)
    line = first(std::max<size_t>(8, item_width - std::min(item_width, wide - columns)));
  if (p.steps == 0 || (p.lr == 0 && p.grad_norm == 0)) return line;
  const std::pair<int, std::string> parts[] = {
      // with how early each is left out
      {1, fmt::format(" · loss {:.3f}", p.loss)},
      {5, fmt::format(" · |g| {:.2f}", p.grad_norm)},
      {4, p.lr == 0 && p.step == 1 ? " · lr 0 (warm-up)" : fmt::format(" · lr {:.1e}", p.lr)},
      {3, fmt::format(" · {} tok/s", with_commas(std::llround(p.tokens_per_s)))},
      {6, p.gemm_share > 0 ? fmt::format(" · {:.0f}% of its GEMM rate", 100 * p.gemm_share) : ""},
      {2, fmt::format(" · {} left", time_text(p.seconds_left))}};
  std::string all;
  for (int most = 6; most >= 0; --most) {
    all = line;
    for (const auto& [early, part] : parts)
      if (early <= most) all += part;
    if (columns_of(all) <= columns) break;
  }
  return all;
}

Pace::Pace(double planned_s) : planned_s_(planned_s), started_(monotonic_seconds()) {}

double Pace::seconds_left(double share) {
  if (share_at_start_ < 0) share_at_start_ = share;
  const double gained = share - share_at_start_, elapsed = monotonic_seconds() - started_;
  return gained > 0.02 ? elapsed * (1 - share) / gained : planned_s_ * (1 - share);
}

}  // namespace gaggle
