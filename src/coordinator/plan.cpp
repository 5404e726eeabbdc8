#include "coordinator/plan.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"

namespace gaggle {

Plan::Plan(std::vector<WorkItem> items) {
  for (WorkItem& item : items) items_.push_back({std::move(item), ItemState::open, "", 0, false});
  std::sort(items_.begin(), items_.end(), [](const PlannedItem& left, const PlannedItem& right) {
    return std::tie(right.item.cost, left.item.key) < std::tie(left.item.cost, right.item.key);
  });
  for (size_t i = 0; i < items_.size(); ++i) {
    index_.emplace(items_[i].item.key, i);
    GAGGLE_CHECK(index_.size() == i + 1, "two items with the key {}", items_[i].item.key);
  }
}

PlannedItem& Plan::find(const std::string& key) {
  const auto found = index_.find(key);
  GAGGLE_CHECK(found != index_.end(), "no item has the key {}", key);
  return items_[found->second];
}

const PlannedItem& Plan::at(const std::string& key) const {
  return const_cast<Plan*>(this)->find(key);
}

void Plan::observe(const std::string& key, ItemState state, const std::string& note) {
  PlannedItem& item = find(key);
  if (item.state == ItemState::done) return;  // what is committed stays committed
  item.state = state;
  item.note = note;
}

bool Plan::failed(const std::string& key, int failures, bool here, bool final) {
  PlannedItem& item = find(key);
  item.failures = std::max(item.failures, failures);
  item.failed_here = item.failed_here || here;
  return final || item.failures >= max_failures;
}

std::vector<std::string> Plan::candidates() const {
  std::vector<std::string> keys;
  for (bool failed_here : {false, true})
    for (const PlannedItem& item : items_)
      if (item.failed_here == failed_here && (item.state == ItemState::open || item.state == ItemState::held))
        keys.push_back(item.item.key);
  return keys;
}

size_t Plan::count(ItemState state) const {
  return static_cast<size_t>(std::count_if(items_.begin(), items_.end(),
                                           [&](const PlannedItem& item) { return item.state == state; }));
}

}  // namespace gaggle
