#include "coordinator/status.h"

#include <algorithm>
#include <queue>
#include <set>

#include "base/clock.h"
#include "coordinator/attempts.h"
#include "coordinator/item_list.h"

namespace gaggle {
namespace {

constexpr double watch_s = 12;  // a holder writes its counter every 10 s or more often

// Of one item: what its worker expects of the phase, but not less than items took so far, by their estimates.
double item_seconds_left(const ItemStatus& status, double pace) {
  return std::max({0.0, status.progress.seconds_left, pace * status.item.cost - status.since_s});
}

// When the last item ends if the workers that are there take the open ones, longest first.
double expected_seconds(const std::vector<ItemStatus>& items, double pace) {
  std::priority_queue<double, std::vector<double>, std::greater<>> free_at;
  double end = 0;
  for (const ItemStatus& status : items)
    if (status.running) free_at.push(item_seconds_left(status, pace));
  if (free_at.empty()) return 0;
  for (const ItemStatus& status : items)
    if (status.state == ItemState::open || (status.state == ItemState::held && !status.running)) {
      const double done = free_at.top() + pace * status.item.cost;
      free_at.pop();
      free_at.push(done);
    }
  for (; !free_at.empty(); free_at.pop()) end = free_at.top();
  return end;
}

// Seconds that committed items took, over those that were estimated.
double pace_of(const std::vector<JournalEvent>& events, const std::vector<ItemStatus>& items) {
  std::map<std::string, double> cost;
  for (const ItemStatus& status : items) cost[status.item.key] = status.item.cost;
  std::map<std::string, double> taken;  // by worker
  double took = 0, estimated = 0;
  for (const JournalEvent& event : events) {
    if (event.kind == "taken") taken[event.worker] = event.seconds;
    if (event.kind != "committed" || !cost.contains(event.key) || !taken.contains(event.worker)) continue;
    took += event.seconds - taken[event.worker];
    estimated += cost[event.key];
  }
  return estimated > 0 ? took / estimated : 1;
}

}  // namespace

size_t WorkStatus::count(ItemState state) const {
  return static_cast<size_t>(std::ranges::count(items, state, &ItemStatus::state));
}

StatusReader::StatusReader(fs::path folder, std::function<std::optional<std::string>(const WorkItem&)> done)
    : folder_(std::move(folder)), done_(std::move(done)), journals_(folder_, "") {}

// The lists of those who have not said goodbye; where all have, of whoever wrote last: the file server's word
// will do to choose what is shown.
std::vector<WorkItem> StatusReader::current_items(const std::vector<WorkerStatus>& workers) const {
  std::set<std::string> lists;
  for (const WorkerStatus& worker : workers)
    if (!worker.finished && life_of(worker.process) != Life::gone) lists.insert(worker.items);
  fs::file_time_type newest = fs::file_time_type::min();
  std::string last;
  for (const WorkerStatus& worker : workers) {
    std::error_code gone;
    const auto written = fs::last_write_time(folder_ / "work" / "journal" / (worker.worker + ".jsonl"), gone);
    if (!gone && written >= newest) newest = written, last = worker.items;
  }
  if (lists.empty()) lists.insert(last);
  std::vector<WorkItem> items;
  std::set<std::string> known;
  for (const std::string& list : lists)
    for (WorkItem& item : published_items(folder_, list))
      if (known.insert(item.key).second) items.push_back(std::move(item));
  return items;
}

bool StatusReader::lives(const ProcessId& process, const std::string& name, const std::string& content) {
  const Life life = life_of(process);
  if (life != Life::unknown) return life == Life::alive;
  const auto [seen, first] = watched_.try_emplace(name, Watched{content, monotonic_seconds(), false});
  if (!first && seen->second.content != content) seen->second = {content, monotonic_seconds(), true};
  const double still_s = monotonic_seconds() - seen->second.since;
  if (!seen->second.moved && still_s < watch_s) undecided_ = true;
  return still_s < watch_s;
}

void StatusReader::judge(ItemStatus& status, const std::map<std::string, int>& leases,
                         const std::vector<WorkerStatus>& workers) {
  if (const auto result = done_(status.item)) {
    status.state = ItemState::done;
    status.note = *result;
    return;
  }
  if (const auto reason = why_aside(folder_, status.item.key)) {
    status.state = ItemState::aside;
    status.note = *reason;
    return;
  }
  const auto lease = leases.find(status.item.key);
  if (lease == leases.end()) return;
  const std::string file = lease_name(lease->first, lease->second);
  const std::string content = LeaseFiles().read(folder_ / "work" / "leases" / file).value_or("");
  const auto record = parse_lease(content);
  if (record && record->released) return;
  std::string sign = content;
  if (record) status.holder = *record;
  for (const WorkerStatus& worker : workers) {
    if (!record || worker.worker != record->worker) continue;
    status.rank = worker.rank;
    sign += std::to_string(worker.lines);
    if (worker.key != status.item.key) continue;
    status.progress = worker.progress;
    status.since_s = worker.seconds - worker.taken_at;
  }
  status.state = ItemState::held;
  status.running = lives(status.holder.process, file, sign);
}

WorkStatus StatusReader::look() {
  undecided_ = false;
  journals_.poll();
  const std::vector<WorkerStatus> workers = journals_.workers();
  const auto leases = newest_generations(LeaseFiles().list(folder_ / "work" / "leases"));
  WorkStatus all{folder_, {}, "", "", 0, 0};
  for (WorkItem& item : current_items(workers)) {
    ItemStatus& status = all.items.emplace_back();
    status.item = std::move(item);
    judge(status, leases, workers);
  }
  for (const JournalEvent& event : journals_.events())
    if (event.kind == "committed" && event.utc >= all.last_committed_utc)
      all.last_committed = event.item, all.last_committed_utc = event.utc;
  all.workers = static_cast<size_t>(std::ranges::count(all.items, true, &ItemStatus::running));
  all.seconds_left = expected_seconds(all.items, pace_of(journals_.events(), all.items));
  return all;
}

}  // namespace gaggle
