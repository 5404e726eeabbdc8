#include "report/status_text.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/names.h"
#include "base/table.h"

namespace gaggle {
namespace {

// Who works on what.
std::string workers_table(const WorkStatus& status) {
  Table table({"item", "worker", "host", "job", "rank", "phase", "step", "loss", "tokens/s", "for", "state"});
  for (const ItemStatus& s : status.items) {
    if (s.state != ObservedState::running && s.state != ObservedState::silent) continue;
    const WorkerProgress& p = s.progress;
    const bool stepped = p.steps > 0;
    table.add({s.item.name, s.holder.worker, s.holder.host, s.holder.job.empty() ? "-" : s.holder.job,
               std::to_string(s.rank), p.phase.empty() ? "-" : p.phase,
               stepped ? fmt::format("{}/{}", p.step, p.steps) : "-",
               stepped ? fmt::format("{:.3f}", p.loss) : "-",
               stepped ? with_commas(std::llround(p.tokens_per_s)) : "-", time_text(s.since_s),
               s.state == ObservedState::running ? "running" : "looks dead"});
  }
  return table.text();
}

}  // namespace

std::string status_block(const std::string& what, const WorkStatus& status) {
  std::string text = fmt::format(
      "{} in {}: {} item{}, {} done, {} running, {} held by workers that look dead, {} open, {} set aside\n",
      what, status.folder.string(), status.items.size(), status.items.size() == 1 ? "" : "s",
      status.count(ObservedState::done), status.count(ObservedState::running),
      status.count(ObservedState::silent), status.count(ObservedState::open),
      status.count(ObservedState::aside));
  if (status.count(ObservedState::running) + status.count(ObservedState::silent) > 0)
    text += workers_table(status);
  std::vector<std::string> open;
  for (const ItemStatus& s : status.items)
    if (s.state == ObservedState::open) open.push_back(s.item.name);
  if (!open.empty()) text += fmt::format("open        {}\n", join(open, ", "));
  for (const ItemStatus& s : status.items)
    if (s.state == ObservedState::aside) text += fmt::format("set aside   {}: {}\n", s.item.name, s.note);
  if (!status.last_committed.empty())
    text += fmt::format("last done   {} at {}\n", status.last_committed, status.last_committed_utc);
  if (status.seconds_left > 0)
    text += fmt::format("left        about {} with {} worker{}\n", time_text(status.seconds_left),
                        status.workers, status.workers == 1 ? "" : "s");
  else if (status.count(ObservedState::open) + status.count(ObservedState::silent) > 0)
    text += "left        nobody works on what is open: start the command again\n";
  return text;
}

nlohmann::ordered_json status_json(const std::string& what, const WorkStatus& status) {
  auto items = nlohmann::ordered_json::array();
  for (const ItemStatus& s : status.items) {
    nlohmann::ordered_json item = {
        {"name", s.item.name}, {"key", s.item.key}, {"state", observed_state_name(s.state)}};
    if (s.state == ObservedState::done && !s.note.empty()) item["version"] = s.note;
    if (s.state == ObservedState::aside) item["reason"] = s.note;
    if (s.state == ObservedState::running || s.state == ObservedState::silent) {
      const WorkerProgress& p = s.progress;
      item.update({{"worker", s.holder.worker},
                   {"host", s.holder.host},
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
