#include "coordinator/queue.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/names.h"
#include "base/pulse.h"
#include "coordinator/item_list.h"

namespace gaggle {
namespace {

void check_key(const std::string& key) {
  GAGGLE_CHECK(!key.empty() && key.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz-_") == std::string::npos,
               "key \"{}\" cannot be a file's name", key);
}

}  // namespace

WorkQueue::WorkQueue(QueueOptions options, std::vector<WorkItem> items)
    : options_(std::move(options)),
      list_(publish_items(options_.folder, items)),
      plan_(std::move(items)),
      leases_(options_.folder, options_.worker, options_.lease_s, options_.files) {
  GAGGLE_CHECK(options_.done != nullptr);
  for (const PlannedItem& planned : plan_.items()) {
    check_key(planned.item.key);
    std::error_code missing;
    if (options_.retry && fs::remove(aside_file(options_.folder, planned.item.key), missing))
      forget_failures(options_.folder, planned.item.key);
  }
}

std::optional<TakeResult> WorkQueue::settled(const WorkItem& item) {
  pulse();
  const TakeResult done{false, ItemState::done, "", false};
  if (plan_.at(item.key).state == ItemState::done) return done;
  if (options_.done(item)) {
    // Its worker may have died between the commit and the cleaning.
    const fs::path attempts = attempts_folder(options_.folder, item.key);
    std::error_code ignored;
    if (fs::exists(attempts, ignored) && !leases_.holder(item.key)) fs::remove_all(attempts, ignored);
    return done;
  }
  const auto aside = why_aside(options_.folder, item.key);
  return aside ? std::optional(TakeResult{false, ItemState::aside, *aside, false}) : std::nullopt;
}

TakeResult WorkQueue::held_or_open(const std::string& key) const {
  const auto holder = leases_.holder_seen(key);
  return {false, holder ? ItemState::held : ItemState::open, holder.value_or(""), leases_.seen_alive(key),
          leases_.of_own_job(key)};
}

// The first look is at the lease: one read, where asking for the result of every held item costs many.
TakeResult WorkQueue::try_take(const WorkItem& item, std::optional<Taken>& taken) {
  if (leases_.holder(item.key)) return held_or_open(item.key);
  if (const auto said = settled(item)) return *said;
  std::unique_ptr<Lease> lease = leases_.try_take(item.key);
  if (!lease) return held_or_open(item.key);
  // What was seen before the lease may be old by now.
  if (const auto said = settled(item)) return *said;
  if (set_aside_for_loss(item, *lease)) return {false, ItemState::aside, plan_.at(item.key).note, false};
  const fs::path folder = item_folder(options_.folder, item.key, lease->generation());
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) system_error("{}: cannot be made ({})", folder.string(), failed.message());
  taken = Taken{item, lease->generation(), std::move(lease)};
  return {true, ItemState::held, options_.worker, true};
}

bool WorkQueue::set_aside_for_loss(const WorkItem& item, const Lease& lease) {
  const auto& lost = lease.lost_predecessor();
  const int generation = lease.generation() - 1;
  if (!lost || !loss_counts(!lost->job.empty() && lost->job == own_record().job,
                            left_checkpoint(options_.folder, item.key, generation)))
    return false;
  const std::string reason = "its worker was lost: " + holder_text(*lost);
  note_failure(options_.folder, item.key, generation, lost->worker, reason);
  if (!plan_.failed(item.key, count_failures(options_.folder, item.key), false, false)) return false;
  set_aside(item, reason);
  return true;
}

std::optional<Taken> WorkQueue::next() {
  using clock = std::chrono::steady_clock;
  const double began = monotonic_seconds();
  double say_at = options_.say_after_s;
  for (;;) {
    if (options_.stop && options_.stop()) return std::nullopt;
    std::optional<Taken> taken;
    leases_.list();
    if (plan_.turn([&](const WorkItem& item) { return try_take(item, taken); })) return taken;
    if (plan_.may_leave(options_.wait)) return std::nullopt;
    if (const double waited_s = monotonic_seconds() - began; say_at > 0 && waited_s >= say_at) {
      say_who_is_waited_for(waited_s);
      say_at = 2 * waited_s + 5;
    }
    const double pause_s = pause_seconds(options_.lease_s, plan_.count(ItemState::held), options_.wait);
    const auto until = clock::now() + std::chrono::duration<double>(pause_s);
    while (clock::now() < until && !(options_.stop && options_.stop()))
      std::this_thread::sleep_for(std::chrono::milliseconds(10)), pulse();
  }
}

void WorkQueue::say_who_is_waited_for(double waited_s) {
  constexpr size_t most = 3;
  std::vector<std::string> waits;
  for (const PlannedItem& held : left())
    if (const std::string text = leases_.waiting_text(held.item.key); !text.empty())
      waits.push_back(held.item.name + ", " + text);
  if (waits.empty()) return;
  const std::string more = waits.size() > most ? fmt::format("; and {} more", waits.size() - most) : "";
  waits.resize(std::min(most, waits.size()));
  log::info("waiting for {:.0f} s: {}{}", waited_s, join(waits, "; "), more);
}

void WorkQueue::finish(Taken taken) {
  plan_.observe(taken.item.key, ItemState::done);
  // Who took it over meanwhile works in a folder beside ours, and cleans when it sees that all is done.
  std::error_code ignored;
  if (taken.lease->still_mine()) fs::remove_all(attempts_folder(options_.folder, taken.item.key), ignored);
  taken.lease->release();
}

bool WorkQueue::fail(Taken taken, const std::string& reason, bool final) {
  const std::string key = taken.item.key;
  if (!taken.lease->still_mine() || settled(taken.item)) {
    taken.lease->release();
    return false;
  }
  note_failure(options_.folder, key, taken.generation, options_.worker, reason);
  const bool aside = plan_.failed(key, count_failures(options_.folder, key), true, final);
  if (aside)
    set_aside(taken.item, reason);
  else
    plan_.observe(key, ItemState::open);
  taken.lease->release();
  return aside;
}

void WorkQueue::set_aside(const WorkItem& item, const std::string& reason) {
  const nlohmann::ordered_json json = {{"key", item.key},
                                       {"name", item.name},
                                       {"reason", reason},
                                       {"worker", options_.worker},
                                       {"failures", failures_json(options_.folder, item.key)}};
  std::error_code failed;
  fs::create_directories(options_.folder / "aside", failed);
  write_file_atomic(aside_file(options_.folder, item.key), json.dump(2) + "\n");
  plan_.observe(item.key, ItemState::aside, reason);
}

void WorkQueue::refresh() {
  leases_.list();
  for (const PlannedItem& planned : plan_.items()) {
    auto said = settled(planned.item);
    if (!said) {
      leases_.holder(planned.item.key);
      said = held_or_open(planned.item.key);
    }
    plan_.observe(planned.item.key, said->state, said->note);
  }
}

std::vector<PlannedItem> WorkQueue::left() const {
  auto items = plan_.items();
  std::erase_if(items, [](const PlannedItem& planned) { return !is_left(planned.state); });
  return items;
}

std::vector<PlannedItem> WorkQueue::set_aside() const {
  auto items = plan_.items();
  std::erase_if(items, [](const PlannedItem& planned) { return planned.state != ItemState::aside; });
  return items;
}

bool WorkQueue::all_done() {
  refresh();
  return plan_.count(ItemState::done) == plan_.size();
}

}  // namespace gaggle
