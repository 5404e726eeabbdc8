#include "comm/record.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"

namespace gaggle {

uint64_t CollectiveRecord::begin(const char* verb, size_t bytes) {
  ++count_;
  ring_[count_ % ring_.size()] = {verb, count_, bytes, monotonic_seconds(), -1};
  return count_;
}

void CollectiveRecord::end() {
  end(count_);
}

void CollectiveRecord::end(uint64_t number) {
  auto& entry = ring_[number % ring_.size()];
  if (entry.number == number) entry.took = monotonic_seconds() - entry.started;
}

std::string CollectiveRecord::last_text() const {
  return fmt::format("{} (collective {})", last().verb, count_);
}

std::string CollectiveRecord::text() const {
  std::string lines;
  const double now = monotonic_seconds();
  const uint64_t first = count_ < ring_.size() ? 1 : count_ - ring_.size() + 1;
  for (uint64_t number = first; number <= count_; ++number) {
    const auto& entry = ring_[number % ring_.size()];
    lines += fmt::format("  {:>6} {:<15} {:>12} bytes  {:.3f} s ago  {}\n", entry.number, entry.verb,
                         entry.bytes, now - entry.started,
                         entry.took < 0 ? "not finished" : fmt::format("took {:.3f} s", entry.took));
  }
  return lines;
}

std::string ranks_text(const std::vector<int>& ranks) {
  return fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(ranks, ", "));
}

}  // namespace gaggle
