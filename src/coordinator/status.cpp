#include "coordinator/status.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <queue>
#include <set>

#include "base/clock.h"
#include "base/file.h"
#include "coordinator/item_list.h"
#include "coordinator/lease_file.h"

namespace gaggle {
namespace {

constexpr double watch_s = 12;  // a holder writes its counter every 10 s or more often

struct Held {
  int generation = 0;
  std::string file;
};

// key → the file of its highest generation.
std::map<std::string, std::string> newest_leases(const fs::path& folder) {
  std::map<std::string, Held> newest;
  for (const std::string& name : LeaseFiles().list(folder)) {
    const size_t dot = name.rfind('.');
    const std::string digits = dot == std::string::npos ? "" : name.substr(dot + 1);
    if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string::npos)
      continue;
    Held& held = newest[name.substr(0, dot)];
    if (std::stoi(digits) > held.generation) held = {std::stoi(digits), name};
  }
  std::map<std::string, std::string> files;
  for (const auto& [key, held] : newest) files[key] = held.file;
  return files;
}

std::optional<std::string> why_aside(const fs::path& folder, const std::string& key) {
  const fs::path file = folder / "aside" / (key + ".json");
  if (!fs::exists(file)) return std::nullopt;
  try {
    return nlohmann::json::parse(read_file(file)).value("reason", "");
  } catch (const std::exception&) {
    return "see " + file.string();
  }
}

// Of one item: what its worker expects of the phase, but not less than items took so far, by their estimates.
double item_seconds_left(const ItemStatus& status, double pace) {
  return std::max({0.0, status.progress.seconds_left, pace * status.item.cost - status.since_s});
}

// When the last item ends if the workers that are there take the open ones, longest first.
double expected_seconds(const std::vector<ItemStatus>& items, double pace) {
  std::priority_queue<double, std::vector<double>, std::greater<>> free_at;
  double end = 0;
  for (const ItemStatus& status : items)
    if (status.state == ObservedState::running) free_at.push(item_seconds_left(status, pace));
  if (free_at.empty()) return 0;
  for (const ItemStatus& status : items)
    if (status.state == ObservedState::open || status.state == ObservedState::silent) {
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

const char* observed_state_name(ObservedState state) {
  constexpr const char* names[] = {"done", "running", "silent", "open", "set aside"};
  return names[static_cast<size_t>(state)];
}

size_t WorkStatus::count(ObservedState state) const {
  return static_cast<size_t>(std::count_if(items.begin(), items.end(),
                                           [&](const ItemStatus& status) { return status.state == state; }));
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

void StatusReader::judge(ItemStatus& status, const std::map<std::string, std::string>& leases,
                         const std::vector<WorkerStatus>& workers) {
  if (const auto result = done_(status.item)) {
    status.state = ObservedState::done;
    status.note = *result;
    return;
  }
  if (const auto reason = why_aside(folder_, status.item.key)) {
    status.state = ObservedState::aside;
    status.note = *reason;
    return;
  }
  const auto file = leases.find(status.item.key);
  if (file == leases.end()) return;
  const std::string content = LeaseFiles().read(folder_ / "work" / "leases" / file->second).value_or("");
  const auto record = parse_lease(content);
  if (record && record->released) return;
  std::string sign = content;
  if (record) status.holder = {record->worker, record->process.host, record->job, false};
  for (const WorkerStatus& worker : workers) {
    if (!record || worker.worker != record->worker) continue;
    status.rank = worker.rank;
    sign += std::to_string(worker.lines);
    if (worker.key != status.item.key) continue;
    status.progress = worker.progress;
    status.since_s = worker.seconds - worker.taken_at;
  }
  const bool alive = lives(record ? record->process : ProcessId{}, file->second, sign);
  status.state = alive ? ObservedState::running : ObservedState::silent;
}

WorkStatus StatusReader::look() {
  undecided_ = false;
  journals_.poll();
  const std::vector<WorkerStatus> workers = journals_.workers();
  const auto leases = newest_leases(folder_ / "work" / "leases");
  WorkStatus all{folder_, {}, "", "", 0, 0};
  for (WorkItem& item : current_items(workers)) {
    ItemStatus& status = all.items.emplace_back();
    status.item = std::move(item);
    judge(status, leases, workers);
  }
  for (const JournalEvent& event : journals_.events())
    if (event.kind == "committed" && event.utc >= all.last_committed_utc)
      all.last_committed = event.item, all.last_committed_utc = event.utc;
  all.workers = all.count(ObservedState::running);
  all.seconds_left = expected_seconds(all.items, pace_of(journals_.events(), all.items));
  return all;
}

}  // namespace gaggle
