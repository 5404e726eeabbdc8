// The plan: which item this worker takes next. A pure state machine over what the files said: observations in,
// decisions out; no files, no clock, no threads, so that thousands of workers can be simulated.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace gaggle {

// Something to compute once: "train this expert", "score this shard".
struct WorkItem {
  std::string key;   // digest of everything that changes the result; names its files
  std::string name;  // for people
  double cost = 1;   // any unit, the same for all items: the longest is taken first
};

enum class ItemState { open, held, done, aside };

// One item as the plan sees it.
struct PlannedItem {
  WorkItem item;
  ItemState state = ItemState::open;
  std::string note;  // held: by whom; aside: why
  int failures = 0;  // known attempts that ended in an exception or a lost worker
  bool failed_here = false;
};

class Plan {
 public:
  static constexpr int max_failures = 2;  // one retry

  // Items in any order; a key that stands there twice is our own mistake.
  explicit Plan(std::vector<WorkItem> items);

  // What a look at the files said.
  void observe(const std::string& key, ItemState state, const std::string& note = "");
  // An attempt failed; `here`: in this worker. `failures` counts all attempts known so far, this one included.
  // True: set it aside (the second failure, or `final`: a retry would repeat it).
  bool failed(const std::string& key, int failures, bool here, bool final);

  // Keys to try now, best first: the longest, those that failed in this worker last (elsewhere if there is an
  // elsewhere); ties by key, so that the order is the same everywhere.
  std::vector<std::string> candidates() const;
  const PlannedItem& at(const std::string& key) const;
  const std::vector<PlannedItem>& items() const { return items_; }
  size_t count(ItemState state) const;

 private:
  PlannedItem& find(const std::string& key);
  std::vector<PlannedItem> items_;       // in order of cost, then key
  std::map<std::string, size_t> index_;  // key → place in items_
};

}  // namespace gaggle
