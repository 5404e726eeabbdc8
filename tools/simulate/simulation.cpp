#include "simulate/simulation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <queue>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/philox.h"
#include "coordinator/plan.h"

namespace gaggle {
namespace {

constexpr double tick_s = 1e-3;  // after an end of a lease, so that no rounding comes before it
constexpr double never = std::numeric_limits<double>::infinity();

// (0, 1).
double uniform(const char* purpose, uint64_t seed, uint64_t which, uint64_t index) {
  return (static_cast<double>(random_bits(random_key(purpose, {seed, which}), index) >> 11) + 0.5) * 0x1p-53;
}

double normal(const char* purpose, uint64_t seed, uint64_t index) {
  const double radius = std::sqrt(-2 * std::log(uniform(purpose, seed, index, 0)));
  return radius * std::cos(2 * std::numbers::pi * uniform(purpose, seed, index, 1));
}

// What is known of an item by its files, and what is going on.
struct Item {
  WorkItem work;
  double needs_s = 0;  // of a worker of plain speed
  double saved_s = 0;  // of those, in its newest checkpoint
  bool done = false, aside = false, released = false, holder_dead = false;
  int holder = -1;  // who made its newest lease
  int failures = 0, commits = 0, attempt = 0;
  double last_beat = 0, taken_at = 0, saved_when_taken_s = 0, open_since = never;
  bool under_way = false;  // its holder works on it
  double speed = 1;        // of its holder
};

enum class Doing { away, looking, working, left };

struct Worker {
  Plan plan;
  double speed = 1;
  Doing doing = Doing::away;
  int item = -1;
  double looking_since = 0;  // it has watched all leases since then
  bool woken = false;        // a look of it is on its way
  uint64_t life = 0;         // events of earlier lives are void
};

enum class What { up, look, dies, finishes, expires, preempts };

struct Event {
  double at = 0;
  int64_t order = 0;  // of making: ties
  What what{};
  int who = 0;      // worker, item or job
  uint64_t of = 0;  // life or attempt
  bool operator>(const Event& other) const { return at != other.at ? at > other.at : order > other.order; }
};

class Simulation {
 public:
  explicit Simulation(const SimulationSettings& settings)
      : set_(settings), wait_(settings.wait ? WaitFor::everybody : WaitFor::nobody) {
    const int group = set_.ranks_per_item;
    set_.workers /= group;
    set_.failures_per_hour *= group;
    GAGGLE_CHECK(set_.workers > 0 && set_.jobs > 0 && set_.lanes > 0 && !set_.item_hours.empty());
    std::vector<WorkItem> work;
    for (size_t i = 0; i < set_.item_hours.size(); ++i) {
      Item item;
      item.needs_s = 3600 * set_.item_hours[i] / group_speed(set_, group);
      item.work = {std::to_string(i), "",
                   item.needs_s * std::exp(set_.estimate_spread * normal("estimate", set_.seed, i))};
      work.push_back(item.work);
      items_.push_back(std::move(item));
    }
    const Plan plan(work);
    for (int w = 0; w < set_.workers; ++w) {
      workers_.push_back({plan});
      if (uniform("straggler", set_.seed, static_cast<uint64_t>(w), 0) < set_.straggler_share)
        workers_.back().speed = 1 / set_.straggler_factor;
      // Processes of one job do not start in the same instant.
      at(uniform("start", set_.seed, static_cast<uint64_t>(w), 0), What::up, w, 0);
    }
    if (set_.preempt_every_hours > 0)
      for (int j = 0; j < set_.jobs; ++j)
        at(3600 * set_.preempt_every_hours * (1 + static_cast<double>(j) / set_.jobs), What::preempts, j, 0);
  }

  SimulationResult run() {
    while (left_to_do() > 0) {
      GAGGLE_CHECK(!events_.empty(), "nobody is left to do what is left");
      const Event event = events_.top();
      events_.pop();
      account(event.at);
      happen(event);
    }
    result_.makespan_h = now_ / 3600;
    result_.bound_h = makespan_bound(set_.item_hours, set_.workers * set_.ranks_per_item);
    result_.lost_h *= set_.ranks_per_item;
    result_.idle_share = idle_s_ / (set_.workers * now_);
    for (const Item& item : items_) {
      result_.done += item.done;
      result_.aside += item.aside;
      result_.most_commits = std::max(result_.most_commits, item.commits);
    }
    result_.worst_minute_per_s = *std::max_element(per_minute_.begin(), per_minute_.end()) / 60;
    return result_;
  }

 private:
  size_t left_to_do() const { return items_.size() - settled_; }

  void at(double when, What what, int who, uint64_t of) { events_.push({when, made_++, what, who, of}); }

  // Time passes: what idle workers, polling, and working ones, beating, do to the folder of leases.
  void account(double until) {
    const double span = until - now_;
    const double pause = pause_seconds(set_.lease_s, held_, wait_);
    const double polls = static_cast<double>(idle_.size()) * span / pause;
    const double beats = static_cast<double>(held_) * span / beat_seconds(set_.lease_s);
    result_.lists += polls;
    result_.reads += polls * static_cast<double>(held_);
    result_.writes += beats;
    idle_s_ += static_cast<double>(idle_.size() + gone_for_good_) * span;
    const double rate = span > 0 ? (polls * static_cast<double>(1 + held_) + beats) / span : 0;
    for (double from = now_; from < until;) {
      const double to = std::min(until, 60 * (std::floor(from / 60) + 1));
      minute(from) += rate * (to - from);
      from = to > from ? to : until;
    }
    now_ = until;
  }

  double& minute(double when) {
    const auto which = static_cast<size_t>(when / 60);
    if (per_minute_.size() <= which) per_minute_.resize(which + 1);
    return per_minute_[which];
  }

  void count(double& kind, double operations) {
    kind += operations;
    minute(now_) += operations;
  }

  void happen(const Event& event) {
    switch (event.what) {
      case What::preempts:
        return preempt(event.who);
      case What::finishes:
        return finish(items_[static_cast<size_t>(event.who)], event.of);
      case What::expires:
        return expire(event.who);
      default:
        break;
    }
    Worker& worker = workers_[static_cast<size_t>(event.who)];
    if (event.of != worker.life) return;
    if (event.what == What::up) return come_up(event.who);
    if (event.what == What::dies) return die(event.who);
    worker.woken = false;
    if (worker.doing == Doing::looking) look(event.who);
    wake_for_what_is_open();  // it may have taken another item than the one it was woken for
  }

  void come_up(int w) {
    Worker& worker = workers_[static_cast<size_t>(w)];
    if (set_.failures_per_hour > 0)
      at(now_ - 3600 / set_.failures_per_hour *
                    std::log(uniform("death", set_.seed, static_cast<uint64_t>(w), worker.life)),
         What::dies, w, worker.life);
    start_looking(w);
  }

  void start_looking(int w) {
    workers_[static_cast<size_t>(w)].doing = Doing::looking;
    workers_[static_cast<size_t>(w)].looking_since = now_;
    look(w);
  }

  LeaseSight sight(const Item& item, int w) const {
    const Worker& reader = workers_[static_cast<size_t>(w)];
    LeaseSight sight;
    sight.ever_held = item.holder >= 0;
    sight.released = item.released;
    sight.gone = item.holder_dead && item.holder == w;  // its own earlier life, on the same host
    sight.moved = !item.holder_dead && now_ - reader.looking_since >= beat_seconds(set_.lease_s);
    if (item.holder_dead) sight.still_s = now_ - std::max(item.last_beat, reader.looking_since);
    return sight;
  }

  // As WorkQueue::try_take, operation by operation.
  TakeResult attempt(Item& item, int w) {
    const LeaseSight seen = sight(item, w);
    count(result_.reads, seen.ever_held ? 1 : 0);
    if (!lease_free(seen, set_.lease_s)) return {false, ItemState::held, "", lease_alive(seen, set_.lease_s)};
    count(result_.reads, 1);
    if (item.done) return {false, ItemState::done, "", false};
    if (item.aside) return {false, ItemState::aside, "", false};
    count(result_.reads, seen.ever_held ? 2 : 1);
    count(result_.writes, 1);
    ++result_.claims;
    if (seen.ever_held && !seen.released) {
      ++result_.takeovers;
      if (loss_counts(true, item.saved_s > item.saved_when_taken_s)) ++item.failures;
      if (workers_[static_cast<size_t>(w)].plan.failed(item.work.key, item.failures, false, false)) {
        item.aside = item.released = true;
        item.open_since = never;
        ++settled_;
        return {false, ItemState::aside, "", false};
      }
    }
    take(item, w);
    return {true, ItemState::held, "", true};
  }

  void take(Item& item, int w) {
    Worker& worker = workers_[static_cast<size_t>(w)];
    result_.order.push_back(item.work.key);
    if (item.open_since < never && worker.doing == Doing::looking)
      result_.worst_wait_s = std::max(result_.worst_wait_s, now_ - std::max(item.open_since, worker.looking_since));
    item.open_since = never;
    item.holder = w;
    item.released = item.holder_dead = false;
    item.taken_at = now_;
    item.saved_when_taken_s = item.saved_s;
    item.under_way = true;
    item.speed = worker.speed;
    idle_.erase(w);
    worker.doing = Doing::working;
    worker.item = static_cast<int>(&item - items_.data());
    ++held_;
    at(now_ + (item.needs_s - item.saved_s) / item.speed, What::finishes, worker.item,
       static_cast<uint64_t>(++item.attempt));
  }

  double progress_s(const Item& item) const { return item.saved_when_taken_s + item.speed * (now_ - item.taken_at); }
  // The periodic checkpoints until now are written.
  void save_periodic(Item& item) const {
    const double every = 60 * set_.checkpoint_minutes;
    const double saved = item.saved_when_taken_s + item.speed * every * std::floor((now_ - item.taken_at) / every);
    item.saved_s = std::max(item.saved_s, saved);
  }

  void look(int w) {
    Worker& worker = workers_[static_cast<size_t>(w)];
    count(result_.lists, 1);
    const auto taken = worker.plan.turn([&](const WorkItem& work) { return attempt(items_[std::stoul(work.key)], w); });
    if (taken) return;
    if (left_to_do() == 0) return;
    if (worker.plan.may_leave(wait_)) {
      worker.doing = Doing::left;
      idle_.erase(w);
      ++gone_for_good_;
      return;
    }
    idle_.insert(w);
    for (size_t i = 0; i < items_.size(); ++i)
      if (items_[i].holder_dead && !items_[i].released)
        at(std::max(now_, std::max(items_[i].last_beat, worker.looking_since) + set_.lease_s + tick_s), What::expires,
           static_cast<int>(i), 0);
    if (!set_.wait) wake(w, now_ + beat_seconds(set_.lease_s));
  }

  // Its first poll at or after `when`.
  double poll_after(const Worker& worker, double when) const {
    const double pause = pause_seconds(set_.lease_s, held_, wait_);
    const double polls = std::ceil(std::max(0.0, when - worker.looking_since) / pause);
    return std::max(when, worker.looking_since + polls * pause);
  }

  void wake(int w, double when) {
    Worker& worker = workers_[static_cast<size_t>(w)];
    worker.woken = true;
    at(poll_after(worker, when), What::look, w, worker.life);
  }

  // An item can be taken: the idle worker that polls first sees it.
  bool wake_one_for(const Item& item) {
    int first = -1;
    double soonest = never;
    for (const int w : idle_) {
      const Worker& worker = workers_[static_cast<size_t>(w)];
      if (worker.woken || !lease_free(sight(item, w), set_.lease_s)) continue;
      if (const double poll = poll_after(worker, now_); poll < soonest) soonest = poll, first = w;
    }
    if (first < 0) return false;
    wake(first, now_);
    return true;
  }

  void wake_for_what_is_open() {
    for (const Item& item : items_)
      if (item.open_since < never && !wake_one_for(item) && idle_.empty()) return;
  }

  void expire(int i) {
    Item& item = items_[static_cast<size_t>(i)];
    if (!item.holder_dead || item.released || item.done || item.aside) return;
    item.open_since = std::min(item.open_since, now_);
    if (wake_one_for(item)) return;
    // Who began to look between the last beat and the death has seen it stand still for less.
    double next = never;
    for (const int w : idle_)
      if (const double since = workers_[static_cast<size_t>(w)].looking_since; since + set_.lease_s > now_)
        next = std::min(next, since + set_.lease_s);
    if (next < never) at(next + tick_s, What::expires, i, 0);
  }

  void finish(Item& item, uint64_t attempt) {
    if (static_cast<int>(attempt) != item.attempt || item.done || !item.under_way) return;
    item.done = item.released = true;
    ++item.commits;
    ++settled_;
    --held_;
    count(result_.lists, 2);
    count(result_.reads, 2);
    count(result_.writes, 1);
    workers_[static_cast<size_t>(item.holder)].plan.observe(item.work.key, ItemState::done);
    item.under_way = false;
    workers_[static_cast<size_t>(item.holder)].item = -1;
    start_looking(item.holder);
  }

  void die(int w) {
    ++result_.deaths;
    lose(w, false);
    Worker& worker = workers_[static_cast<size_t>(w)];
    at(now_ + 60 * set_.restart_minutes, What::up, w, worker.life);
  }

  // The worker is away from now on. `orderly`: it writes a checkpoint and gives its item back.
  void lose(int w, bool orderly) {
    Worker& worker = workers_[static_cast<size_t>(w)];
    const int i = worker.item;
    gone_for_good_ -= worker.doing == Doing::left;
    worker.doing = Doing::away;
    worker.item = -1;
    ++worker.life;
    idle_.erase(w);
    if (std::exchange(worker.woken, false)) wake_for_what_is_open();  // somebody else polls next
    if (i < 0) return;
    Item& item = items_[static_cast<size_t>(i)];
    const double progress = progress_s(item);
    save_periodic(item);
    if (orderly)
      item.saved_s = progress;
    else
      result_.lost_h += (progress - item.saved_s) / item.speed / 3600;
    --held_;
    item.released = orderly;
    item.holder_dead = !orderly;
    const double beat = beat_seconds(set_.lease_s);
    item.last_beat = item.taken_at + beat * std::floor((now_ - item.taken_at) / beat);
    if (!orderly) at(item.last_beat + set_.lease_s + tick_s, What::expires, i, 0);
    if (orderly) item.open_since = now_;
    ++item.attempt;
    item.under_way = false;
    if (item.open_since < never) wake_one_for(item);
  }

  void preempt(int job) {
    for (int w = 0; w < set_.workers; ++w) {
      Worker& worker = workers_[static_cast<size_t>(w)];
      if (w % set_.jobs != job || worker.doing == Doing::away) continue;
      lose(w, true);
      at(now_ + 60 * set_.restart_minutes, What::up, w, worker.life);
    }
    at(now_ + 3600 * set_.preempt_every_hours, What::preempts, job, 0);
  }

  SimulationSettings set_;
  WaitFor wait_;
  SimulationResult result_;
  std::vector<Item> items_;
  std::vector<Worker> workers_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::set<int> idle_;  // looking, without an item
  std::vector<double> per_minute_ = {0};
  double now_ = 0, idle_s_ = 0;
  int64_t made_ = 0;
  size_t held_ = 0, settled_ = 0, gone_for_good_ = 0;
};

}  // namespace

double group_speed(const SimulationSettings& settings, int ranks) {
  if (ranks == 1) return 1;  // of a group, the busiest rank has ⌈L/n⌉ lanes
  const int busiest = (settings.lanes + ranks - 1) / ranks;
  return 1 + settings.efficiency * (static_cast<double>(settings.lanes) / busiest - 1);
}

double makespan_bound(std::vector<double> hours, int workers) {
  std::sort(hours.begin(), hours.end(), std::greater<>());
  double bound = std::accumulate(hours.begin(), hours.end(), 0.0) / workers;
  const auto w = static_cast<size_t>(workers);
  for (size_t k = 0; k * w < hours.size(); ++k) {
    double shortest = 0;
    for (size_t i = 0; i <= k; ++i) shortest += hours[k * w - i];
    bound = std::max(bound, shortest);
  }
  return bound;
}

std::vector<double> spread_hours(int count, double mean, double sigma, uint64_t seed) {
  std::vector<double> hours;
  for (int i = 0; i < count; ++i)
    hours.push_back(mean * std::exp(sigma * normal("hours", seed, static_cast<uint64_t>(i)) - sigma * sigma / 2));
  return hours;
}

SimulationResult simulate(const SimulationSettings& settings) { return Simulation(settings).run(); }

}  // namespace gaggle
