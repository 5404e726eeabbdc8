#include "app/expert_table.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "alignment/expert_sketch.h"
#include "base/file.h"
#include "base/log.h"
#include "base/table.h"

namespace gaggle {
namespace {

using nlohmann::json;

std::string number(const json& metrics, const char* key) {
  const auto found = metrics.find(key);
  return found != metrics.end() && found->is_number() ? fmt::format("{:.3f}", found->get<double>()) : "-";
}

// Who trained it in this job, and how long it took.
std::pair<std::string, std::string> trained_by(const std::string& key,
                                               const std::vector<JournalEvent>& events) {
  double taken = 0;
  std::pair<std::string, std::string> where = {"before", "-"};
  for (const JournalEvent& event : events) {
    if (event.key != key) continue;
    if (event.kind == "taken") taken = event.seconds;
    if (event.kind == "committed")
      where = {fmt::format("rank {}", event.rank), time_text(event.seconds - taken)};
  }
  return where;
}

std::string table_text(const ExpertJob& job, const Registry& registry, const WorkQueue& queue,
                       const std::vector<JournalEvent>& events) {
  Table table({"expert", "version", "task loss", "half open", "base", "gate |v|", "trained on", "time"});
  for (const ExpertItem& item : job.items) {
    const auto info = registry.find_key(item.name, item.recipe.key);
    if (!info) {
      const ItemState state = queue.plan().at(item.recipe.key).state;
      table.add(
          {item.name, "-", "-", "-", "-", "-", state == ItemState::aside ? "set aside" : "not finished", "-"});
      continue;
    }
    const json about = json::parse(registry.expert_json(item.name, info->version));
    const json metrics = about.value("metrics", json::object());
    const auto [where, time] = trained_by(item.recipe.key, events);
    table.add({item.name, info->version, number(metrics, "validation_loss"), number(metrics, "half_open_loss"),
               number(metrics, "base_loss"), number(metrics, "gate_norm"), where, time});
  }
  return table.text();
}

// "collection demo: 6 experts, 120 MB, registry/collections/demo · next: gaggle eval configs/demo.toml".
std::string collection_text(const ExpertJob& job, const Registry& registry) {
  const std::string& name = job.config.registry.collection;
  uint64_t bytes = 0;
  for (const std::string& pin : registry.pins(name))
    if (const auto info = registry.find(pin)) bytes += info->bytes;
  const auto folder = (fs::path(job.config.registry.path) / "collections" / name).lexically_normal();
  return fmt::format("collection {}: {} expert{}, {}, {} · next: gaggle eval {}\n", name, job.items.size(),
                     job.items.size() == 1 ? "" : "s", bytes_text(bytes), folder.string(), job.config.file);
}

}  // namespace

Exit conclude(const ExpertJob& job, Registry& registry, WorkQueue& queue,
              const std::vector<JournalEvent>& events) {
  queue.refresh();
  const Exit code = queue.set_aside().empty() ? Exit::done : Exit::some_set_aside;
  const bool merge = queue.all_done() && !job.items.empty() && !job.config.registry.collection.empty();
  if (merge) {
    std::vector<std::string> names;
    for (const ExpertItem& item : job.items) names.push_back(item.name);
    registry.collect(job.config.registry.collection, names);
  }
  if (job.session.world->rank() != 0) return code;
  std::fputs(fmt::format("\n{}", table_text(job, registry, queue, events)).c_str(), stdout);
  std::fputs(compare_sketches(job, registry.folder()).c_str(), stdout);
  for (const PlannedItem& held : queue.held_by_others())
    log::info("{} is held by {}; start again, or set cluster.wait = true, to see the end", held.item.name,
              held.note);
  for (const PlannedItem& aside : queue.set_aside())
    log::warning("{} was set aside: {} (--retry takes it up again)", aside.item.name, aside.note);
  if (merge) std::fputs(collection_text(job, registry).c_str(), stdout);
  return code;
}

}  // namespace gaggle
