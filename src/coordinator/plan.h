// The plan: which item a worker takes next, what counts as a failure, when a lease is dead. A pure state
// machine over what the files said: observations in, decisions out; no files, no clock, no threads, so that
// thousands of workers can be simulated (tools/simulate).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gaggle {

// A result that carries a key.
struct ItemPart {
  std::string key, name;
};

// Something to compute once: "train this expert", "score this shard".
struct WorkItem {
  std::string key;                   // digest of everything that changes the result; names its files
  std::string name;                  // for people
  double cost = 1;                   // any unit, the same for all items: the longest is taken first
  std::vector<ItemPart> parts = {};  // the results, where they are not one of the item's own key and name
};

enum class ItemState : uint8_t { open, held, done, aside };
bool is_left(ItemState state);  // open or held

// One item as the plan sees it.
struct PlannedItem {
  WorkItem item;
  ItemState state = ItemState::open;
  std::string note;  // held: by whom; aside: why
};

// What trying to take an item came to.
struct TakeResult {
  bool taken = false;
  ItemState state = ItemState::open;  // taken: held
  std::string note;
  bool alive = false;    // held, and its holder was seen to live
  bool own_job = false;  // held by a worker of this worker's job
};

// Whose items a worker stays for when it finds none to take. A worker of its own job may die after all others left, and
// nobody would take its item up: so one of them stays (of thousands that read all leases a folder would be busy).
enum class WaitFor : uint8_t { nobody, own_job, everybody };

class Plan {
 public:
  static constexpr int max_failures = 2;  // one retry

  // Items in any order; a key that stands there twice is our own mistake. Copies share the items.
  explicit Plan(std::vector<WorkItem> items);

  // One turn of a worker that looks for work: tries the items that may be open in order (the longest first,
  // those that failed in this worker last: elsewhere if there is an elsewhere; ties by key, so that the order
  // is the same everywhere) until one is taken, and remembers what each attempt came to.
  std::optional<WorkItem> turn(const std::function<TakeResult(const WorkItem&)>& attempt);
  // After a turn that took nothing: true where there is nothing to wait for. A holder that was not seen to live always is.
  bool may_leave(WaitFor wait) const;

  // What a look at the files said.
  void observe(const std::string& key, ItemState state, const std::string& note = "");
  // An attempt failed; `here`: in this worker. `failures` counts all attempts known so far, this one included.
  // True: set it aside (the second failure, or `final`: a retry would repeat it).
  bool failed(const std::string& key, int failures, bool here, bool final);

  PlannedItem at(const std::string& key) const;
  std::vector<PlannedItem> items() const;  // in order of cost, then key
  size_t size() const { return seen_.size(); }
  size_t count(ItemState state) const { return counts_[static_cast<size_t>(state)]; }

 private:
  struct Items {
    std::vector<WorkItem> sorted;
    std::map<std::string, size_t> places;
  };
  struct Seen {
    ItemState state = ItemState::open;
    bool alive = false, own_job = false, failed_here = false;
    int failures = 0;
  };
  size_t place(const std::string& key) const;
  PlannedItem planned(size_t place) const;
  void observe(size_t place, const TakeResult& seen);
  std::shared_ptr<const Items> items_;
  std::vector<Seen> seen_;
  std::map<size_t, std::string> notes_;
  std::array<size_t, 4> counts_ = {};
  size_t first_left_ = 0;  // all before it are done or aside
};

// What one reader has seen of an item's lease, on its own monotonic clock.
struct LeaseSight {
  bool ever_held = false;  // somebody once held it
  bool released = false;   // and gave it back
  bool gone = false;       // the holder is certainly gone: its process ended on this host, or its job started anew
  bool running = false;    // the holder is a live process of this host
  bool moved = false;      // its counter was seen to move
  double still_s = 0;      // seconds since it was first seen to say what it says
};
bool lease_free(const LeaseSight& sight, double lease_s);   // may be taken (over)
bool lease_alive(const LeaseSight& sight, double lease_s);  // its holder was seen to live

inline double beat_seconds(double lease_s) { return lease_s < 120 ? lease_s / 12 : 10; }
// Between two turns of a worker that found nothing and left `held` items to others: a turn reads the lease of
// each, so many of them are read less often. Who waits for its own job alone looks alone, and sees the end at once.
double pause_seconds(double lease_s, size_t held, WaitFor wait);
// Whether a lost worker counts against its item. Not one of another job; nor one that left a new checkpoint:
// the next goes on from there, and what killed the worker is not what it stands at.
bool loss_counts(bool same_job, bool left_checkpoint);

}  // namespace gaggle
