#include "report/live.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "base/long_phase.h"
#include "base/page.h"
#include "base/screen.h"
#include "base/terminal.h"

namespace gaggle {
namespace {

// A view that nobody reads stops nothing: the job hears of it as a request to stop (cluster/stop.h).
void print_line(const std::string& line) {
  try {
    print_words(line + "\n");
  } catch (const SystemError&) {
  }
}

}  // namespace

LiveView::~LiveView() { stand({}); }

void LiveView::draw(const std::vector<WorkerStatus>& workers, double share, const std::string& words) {
  const bool stands = lines_can_stand();
  const double now = monotonic_seconds();
  const bool tell = std::ranges::any_of(workers, [](const WorkerStatus& worker) { return worker.progress.steps > 0; });
  if (last_plain_ < 0) last_plain_ = now;
  if (!stands && now - last_plain_ < plain_every_ && (told_ || !tell)) return;
  last_plain_ = now;
  told_ = told_ || tell;
  size_t width = 0;
  for (const auto& worker : workers) width = std::max(width, worker.progress.item.size());
  std::vector<std::string> lines;
  for (const auto& worker : workers)
    lines.push_back(shown(progress_line(worker, width, standing_columns().value_or(1000) - 1)));
  lines.push_back(stands ? progress_bar(share, words) : words);
  if (stands) return stand(std::move(lines));
  for (const auto& line : lines) print_line(line);
}

void LiveView::say(const std::string& line) { print_line(line); }

void LiveView::end(const std::string& line) {
  stand({});
  say(line);
}

}  // namespace gaggle
