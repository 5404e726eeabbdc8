#include "base/long_phase.h"

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "base/screen.h"
#include "base/table.h"

namespace gaggle {
namespace {

constexpr double between_looks_s = 0.2;

std::atomic<bool> one_is_shown = false;

}  // namespace

LongPhase::LongPhase(std::string doing, double all, double patience_s)
    : doing_(std::move(doing)),
      all_(all),
      begun_(monotonic_seconds()),
      shown_(!one_is_shown.exchange(true)),
      next_look_(begun_ + patience_s) {}

LongPhase::~LongPhase() {
  if (!shown_) return;
  if (said_ && lines_can_stand()) stand({});
  one_is_shown = false;
}

void LongPhase::add(double done) {
  done_ += done;
  if (!shown_) return;
  // Of threads that are here together one looks.
  double due = next_look_;
  const double now = monotonic_seconds();
  if (now >= due && next_look_.compare_exchange_strong(due, now + between_looks_s)) show(now - begun_);
}

void LongPhase::show(double seconds) {
  const double share = all_ > 0 ? std::min(1.0, done_ / all_) : 0;
  std::string words = doing_;
  if (share > 0) words += fmt::format(" · {:.0f} % · {} left", 100 * share, time_text(seconds * (1 - share) / share));
  if (!lines_can_stand()) {
    if (!said_) log::info("{} …", words);
  } else if (said_ || !lines_stand()) {
    stand({all_ > 0 ? progress_bar(share, words) : words});
  } else {
    return;  // beside a live view
  }
  said_ = true;
}

void silence_long_phases() { one_is_shown = true; }

std::string progress_bar(double share, const std::string& words) {
  const int width = static_cast<int>(std::clamp<size_t>(standing_columns().value_or(120) / 4, 8, 30));
  static constexpr const char* eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int filled = static_cast<int>(std::clamp(share, 0.0, 1.0) * width * 8);
  std::string bar;
  for (int i = 0; i < filled / 8; ++i) bar += "█";
  bar += eighths[filled % 8];
  const int used = filled / 8 + (filled % 8 ? 1 : 0);
  return "▕" + bar + std::string(static_cast<size_t>(width - used), ' ') + "▏ " + words;
}

}  // namespace gaggle
