// The end of a job of experts: their table, and the collection.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/table.h"
#include "config/read.h"
#include "registry/listing.h"
#include "registry/pins.h"
#include "registry/version_files.h"
#include "workflow/experts.h"

namespace gaggle {
namespace {

using nlohmann::json;

std::string number(const json& metrics, const char* key) {
  const auto found = metrics.find(key);
  return found != metrics.end() && found->is_number() ? fmt::format("{:.3f}", found->get<double>()) : "-";
}

// Who trained it in this job, and how long it took.
std::pair<std::string, Cell> trained_by(const std::string& key, const std::vector<JournalEvent>& events) {
  double taken = 0;
  std::pair<std::string, Cell> where = {"before", "-"};
  for (const JournalEvent& event : events) {
    if (event.key != key) continue;
    if (event.kind == "taken") taken = event.seconds;
    if (event.kind == "committed") where = {fmt::format("rank {}", event.rank), time_cell(event.seconds - taken)};
  }
  return where;
}

// Of the pack that the item is in.
const std::string& work_key(const ExpertJob& job, const ExpertItem& item) {
  const auto place = static_cast<size_t>(&item - job.items.data());
  return std::ranges::find_if(
             job.packs,
             [&](const ExpertPack& pack) { return std::ranges::find(pack.members, place) != pack.members.end(); })
      ->key;
}

}  // namespace

std::string openness_text(double bias) {
  return bias == 0 ? "half open" : fmt::format("{:.3g}% open", 100 / (1 + std::exp(-bias)));
}

Table expert_table(const ExpertJob& job, const Registry& registry, const JobEnd& end) {
  Table table({"expert", "version", "task loss", openness_text(job.config().gate.bias), "base", "gate |v|",
               "trained on", "time"});
  for (const ExpertItem& item : job.items) {
    const std::string& key = work_key(job, item);
    const auto info = registry.find_key(Kind::expert, item.name, item.recipe.key);
    if (!info) {
      const bool aside = end.plan.at(key).state == ItemState::aside;
      table.add({item.name, "-", "-", "-", "-", "-", aside ? "set aside" : "not finished", "-"});
      continue;
    }
    const json metrics = object_at(read_sidecar(*info), "metrics");
    const auto [where, time] = trained_by(key, end.events);
    table.add({item.name, info->version, number(metrics, "validation_loss"), number(metrics, "half_open_loss"),
               number(metrics, "base_loss"), number(metrics, "gate_norm"), where, time});
  }
  return table;
}

std::string collection_block(const ExpertJob& job, const Registry& registry) {
  const std::string& name = job.config().registry.collection;
  const Version collection = registry.load(Kind::collection, name);
  const std::vector<PinnedExpert> pins = read_pins(collection);
  uint64_t bytes = 0;
  for (const PinnedExpert& pinned : pins) bytes += bytes_of(pinned_expert(registry, collection, pinned));
  const auto folder = (fs::path(job.config().registry.path) / "collections" / name).lexically_normal();
  return fmt::format("collection {}: {}, {}, {} · next: gaggle eval {}\n", name,
                     plural(static_cast<int64_t>(pins.size()), "expert"), bytes_text(bytes), folder.string(),
                     typed_again(job.config()));
}

}  // namespace gaggle
