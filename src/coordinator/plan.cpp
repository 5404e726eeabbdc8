#include "coordinator/plan.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"

namespace gaggle {

bool is_left(ItemState state) { return state == ItemState::open || state == ItemState::held; }

Plan::Plan(std::vector<WorkItem> items) : seen_(items.size()) {
  std::sort(items.begin(), items.end(), [](const WorkItem& left, const WorkItem& right) {
    return std::tie(right.cost, left.key) < std::tie(left.cost, right.key);
  });
  auto known = std::make_shared<Items>();
  for (size_t i = 0; i < items.size(); ++i) {
    known->places.emplace(items[i].key, i);
    GAGGLE_CHECK(known->places.size() == i + 1, "two items with the key {}", items[i].key);
  }
  known->sorted = std::move(items);
  items_ = std::move(known);
  counts_[static_cast<size_t>(ItemState::open)] = seen_.size();
}

size_t Plan::place(const std::string& key) const {
  const auto found = items_->places.find(key);
  GAGGLE_CHECK(found != items_->places.end(), "no item has the key {}", key);
  return found->second;
}

PlannedItem Plan::planned(size_t place) const {
  const auto note = notes_.find(place);
  return {items_->sorted[place], seen_[place].state, note == notes_.end() ? "" : note->second};
}

PlannedItem Plan::at(const std::string& key) const { return planned(place(key)); }

std::vector<PlannedItem> Plan::items() const {
  std::vector<PlannedItem> all;
  for (size_t i = 0; i < seen_.size(); ++i) all.push_back(planned(i));
  return all;
}

void Plan::observe(size_t place, const TakeResult& found) {
  const auto& [taken, state, note, alive, own_job] = found;
  Seen& seen = seen_[place];
  if (seen.state == ItemState::done) return;  // what is committed stays committed
  --counts_[static_cast<size_t>(seen.state)];
  ++counts_[static_cast<size_t>(state)];
  // Who sets aside what was set aside for good may be taken back (--retry).
  if (is_left(state)) first_left_ = std::min(first_left_, place);
  seen.state = state;
  seen.alive = alive;
  seen.own_job = own_job;
  if (!note.empty())
    notes_[place] = note;
  else
    notes_.erase(place);
}

void Plan::observe(const std::string& key, ItemState state, const std::string& note) {
  observe(place(key), {false, state, note});
}

bool Plan::failed(const std::string& key, int failures, bool here, bool final) {
  Seen& seen = seen_[place(key)];
  seen.failures = std::max(seen.failures, failures);
  seen.failed_here = seen.failed_here || here;
  return final || seen.failures >= max_failures;
}

std::optional<WorkItem> Plan::turn(const std::function<TakeResult(const WorkItem&)>& attempt) {
  while (first_left_ < seen_.size() && !is_left(seen_[first_left_].state)) ++first_left_;
  for (const bool failed_here : {false, true})
    for (size_t i = first_left_; i < seen_.size(); ++i) {
      if (!is_left(seen_[i].state) || seen_[i].failed_here != failed_here) continue;
      const WorkItem& item = items_->sorted[i];
      const TakeResult came_to = attempt(item);
      observe(i, came_to);
      if (came_to.taken) return item;
    }
  return std::nullopt;
}

bool Plan::may_leave(WaitFor wait) const {
  if (count(ItemState::open) > 0) return false;
  if (count(ItemState::held) == 0) return true;
  return wait != WaitFor::everybody && std::all_of(seen_.begin(), seen_.end(), [&](const Seen& seen) {
           return seen.state != ItemState::held || (seen.alive && !(seen.own_job && wait == WaitFor::own_job));
         });
}

bool lease_free(const LeaseSight& sight, double lease_s) {
  return !sight.ever_held || sight.released || sight.gone || sight.still_s >= lease_s;
}

bool lease_alive(const LeaseSight& sight, double lease_s) {
  if (lease_free(sight, lease_s)) return false;
  return sight.running || (sight.moved && sight.still_s < lease_s / 4);
}

double pause_seconds(double lease_s, size_t held, WaitFor wait) {
  constexpr double reads_per_s = 4;
  const double at_least_s = wait == WaitFor::own_job ? 0.1 : 2.0;
  return std::clamp(static_cast<double>(held) / reads_per_s, std::clamp(lease_s / 24, 0.01, at_least_s),
                    std::max(lease_s / 4, 0.01));
}

bool loss_counts(bool same_job, bool left_checkpoint) { return same_job && !left_checkpoint; }

}  // namespace gaggle
