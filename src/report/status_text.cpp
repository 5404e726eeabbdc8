#include "report/status_text.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/names.h"
#include "base/table.h"

namespace gaggle {
namespace {

// Who works on what.
Table workers_table(const WorkStatus& status) {
  Table table({"item", "worker", "host", "job", "rank", "phase", "step", "loss", "tokens/s", "for", "state"});
  for (const ItemStatus& s : status.items) {
    if (s.state != ItemState::held) continue;
    const WorkerProgress& p = s.progress;
    const bool stepped = p.steps > 0;
    table.add({s.item.name, s.holder.worker, s.holder.process.host, s.holder.job.empty() ? "-" : s.holder.job,
               std::to_string(s.rank), p.phase.empty() ? "-" : p.phase,
               stepped ? fmt::format("{}/{}", p.step, p.steps) : "-", stepped ? fmt::format("{:.3f}", p.loss) : "-",
               stepped ? with_commas(std::llround(p.tokens_per_s)) : "-", time_cell(s.since_s),
               s.running ? "running" : "looks dead"});
  }
  return table;
}

const char* state_name(const ItemStatus& s) {
  constexpr const char* names[] = {"open", "silent", "done", "set aside"};
  return s.running ? "running" : names[static_cast<size_t>(s.state)];
}

}  // namespace

Page status_page(const std::string& what, const WorkStatus& status) {
  const size_t silent = status.count(ItemState::held) - status.workers;
  Page page = fmt::format(
      "{} in {}: {}, {} done, {} running, {} held by workers that look dead, {} open, {} set aside\n", what,
      status.folder.string(), plural(static_cast<int64_t>(status.items.size()), "item"), status.count(ItemState::done),
      status.workers, silent, status.count(ItemState::open), status.count(ItemState::aside));
  if (status.count(ItemState::held) > 0) page += workers_table(status);
  std::vector<std::string> open;
  for (const ItemStatus& s : status.items)
    if (s.state == ItemState::open) open.push_back(s.item.name);
  if (!open.empty()) page += fmt::format("open        {}\n", join(open, ", "));
  for (const ItemStatus& s : status.items)
    if (s.state == ItemState::aside) page += fmt::format("set aside   {}: {}\n", s.item.name, s.note);
  if (!status.last_committed.empty())
    page += fmt::format("last done   {} at {}\n", status.last_committed, status.last_committed_utc);
  if (status.seconds_left > 0)
    page += fmt::format("left        about {} with {}\n", time_text(status.seconds_left),
                        plural(static_cast<int64_t>(status.workers), "worker"));
  else if (status.count(ItemState::open) + silent > 0)
    page += "left        nobody works on what is open: start the command again\n";
  return page;
}

nlohmann::ordered_json status_json(const std::string& what, const WorkStatus& status) {
  auto items = nlohmann::ordered_json::array();
  for (const ItemStatus& s : status.items) {
    nlohmann::ordered_json item = {{"name", s.item.name}, {"key", s.item.key}, {"state", state_name(s)}};
    if (s.state == ItemState::done && !s.note.empty()) item["version"] = s.note;
    if (s.state == ItemState::aside) item["reason"] = s.note;
    if (s.state == ItemState::held) {
      const WorkerProgress& p = s.progress;
      item.update({{"worker", s.holder.worker},
                   {"host", s.holder.process.host},
                   {"job", s.holder.job},
                   {"rank", s.rank},
                   {"phase", p.phase},
                   {"step", p.step},
                   {"steps", p.steps},
                   {"loss", p.loss},
                   {"tokens_per_s", p.tokens_per_s},
                   {"seconds", s.since_s}});
    }
    items.push_back(std::move(item));
  }
  return {{"what", what},
          {"folder", status.folder.string()},
          {"workers", status.workers},
          {"seconds_left", status.seconds_left},
          {"last_done", status.last_committed},
          {"last_done_utc", status.last_committed_utc},
          {"items", items}};
}

}  // namespace gaggle
