#include "comm/record.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "base/pulse.h"
#include "base/table.h"

namespace gaggle {

void RankRecord::begin(CollectiveEntry entry) {
  constexpr size_t kept_entries = 64;
  const std::lock_guard lock(mutex_);
  entries_.push_back(std::move(entry));
  if (entries_.size() > kept_entries) entries_.pop_front();
}

void RankRecord::end(const std::string& group, uint64_t number) {
  const std::lock_guard lock(mutex_);
  const auto entry = std::find_if(entries_.rbegin(), entries_.rend(), [&](const CollectiveEntry& each) {
    return each.number == number && each.group == group;
  });
  if (entry != entries_.rend()) entry->took = monotonic_seconds() - entry->started;
}

std::vector<CollectiveEntry> RankRecord::entries() const {
  const std::lock_guard lock(mutex_);
  return {entries_.begin(), entries_.end()};
}

std::optional<CollectiveEntry> RankRecord::waiting_in() const {
  const std::lock_guard lock(mutex_);
  const auto entry = std::ranges::find_if(entries_, [](const auto& each) { return each.took < 0; });
  return entry == entries_.end() ? std::nullopt : std::optional(*entry);
}

CollectiveRecord::CollectiveRecord(std::shared_ptr<RankRecord> rank, std::string group)
    : rank_(std::move(rank)), group_(std::move(group)) {}

uint64_t CollectiveRecord::begin(const char* verb, size_t bytes) {
  pulse();
  const Pulse now = current_pulse();
  verb_ = verb;
  rank_->begin({group_, verb, ++number_, bytes, now.phase, now.step, monotonic_seconds(), -1});
  return number_;
}

void CollectiveRecord::end() { end(number_); }

void CollectiveRecord::end(uint64_t number) {
  rank_->end(group_, number);
  pulse();
}

std::string CollectiveRecord::last_text() const { return collective_text(verb_, number_, group_); }

std::string CollectiveRecord::text() const {
  std::string lines;
  const double now = monotonic_seconds();
  for (const CollectiveEntry& entry : rank_->entries())
    lines += fmt::format("  {:>6} {:<20} {:<15} {:>12} bytes  {:.3f} s ago  {}\n", entry.number, entry.group,
                         entry.verb, entry.bytes, now - entry.started,
                         entry.took < 0 ? "not finished" : fmt::format("took {:.3f} s", entry.took));
  return lines;
}

CollectiveRecord CollectiveRecord::of_part(int colour) const {
  return CollectiveRecord(rank_, fmt::format("{}/{}", group_, colour));
}

CollectiveRecord CollectiveRecord::beside(const std::string& name) const {
  return CollectiveRecord(rank_, fmt::format("{} over {}", group_, name));
}

std::string collective_text(const std::string& verb, uint64_t number, const std::string& group) {
  return fmt::format("{} (collective {}{})", verb, number, group == "world" ? "" : " of " + group);
}

std::string ranks_text(const std::vector<int>& ranks) {
  return fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", ranges_text(ranks, 3, ", "));
}

}  // namespace gaggle
