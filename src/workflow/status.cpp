#include "workflow/status.h"

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "config/read.h"
#include "registry/registry.h"

namespace gaggle {
namespace {

using Word = std::optional<std::string>;

bool has_work(const fs::path& folder) { return fs::is_directory(folder / "work" / "journal"); }

// The version that carries an item's key; of several parts, that of each.
Word stored_word(const Registry& registry, Kind kind, const WorkItem& item) {
  std::vector<std::string> versions;
  for (const ItemPart& part : item.parts.empty() ? std::vector<ItemPart>{{item.key, item.name}} : item.parts) {
    const auto stored = registry.find_key(kind, part.name, part.key);
    if (!stored) return std::nullopt;
    versions.push_back(stored->version);
  }
  return join(versions, ", ");
}

Registry open_to_look(const fs::path& folder) { return Registry::open(folder, std::nullopt, /*create=*/false); }

WorkPlace of_registry(const fs::path& folder) {
  return {"experts", std::make_unique<StatusReader>(folder, [registry = open_to_look(folder)](const WorkItem& item) {
            return stored_word(registry, Kind::expert, item);
          })};
}

// Results are files items/KEY.json.
WorkPlace of_results(const std::string& kind, const fs::path& folder) {
  return {kind, std::make_unique<StatusReader>(folder, [folder](const WorkItem& item) {
            return fs::exists(folder / "items" / (item.key + ".json")) ? Word("") : std::nullopt;
          })};
}

// The registry that is named in a run folder's config.toml; "": none can be seen from here.
fs::path registry_of_run(const fs::path& run) {
  if (!fs::exists(run / "config.toml")) return {};
  const fs::path registry = read_config(run / "config.toml", {}).registry.path;
  return fs::exists(registry / "registry.json") ? registry : fs::path();
}

// One item that all ranks make. A process that is killed between its commit and the line on it leaves a journal that does not
// know of the commit: the registry does. A journal is asked where that is not to be seen, as a relative path from elsewhere.
WorkPlace of_pretraining(const fs::path& folder) {
  if (const fs::path registry = registry_of_run(folder); !registry.empty())
    return {"pretraining",
            std::make_unique<StatusReader>(folder, [seen = open_to_look(registry)](const WorkItem& item) {
              return stored_word(seen, Kind::inventory, item);
            })};
  const auto journals = std::make_shared<JournalReader>(folder, "");
  return {"pretraining", std::make_unique<StatusReader>(folder, [journals](const WorkItem& item) {
            journals->poll();
            for (const JournalEvent& event : journals->events())
              if (event.kind == "committed" && event.key == item.key) return Word(event.detail);
            return Word();
          })};
}

}  // namespace

std::vector<WorkPlace> work_places(const fs::path& path) {
  std::vector<WorkPlace> places;
  if (fs::exists(path / "registry.json")) {
    places.push_back(of_registry(path));
    return places;
  }
  if (!fs::is_directory(path)) user_error("{}: no such folder", path.string());
  if (has_work(path)) places.push_back(of_pretraining(path));
  if (has_work(path / "adapt")) places.push_back(of_results("adaptation", path / "adapt"));
  if (has_work(path / "eval")) places.push_back(of_results("evaluation", path / "eval"));
  // Pretraining is told from its own folder; its registry may be full of other jobs.
  if (!has_work(path))
    if (const fs::path registry = registry_of_run(path); !registry.empty() && has_work(registry))
      places.push_back(of_registry(registry));
  if (places.empty())
    user_error("{}: neither a registry nor a run folder in which something was started", path.string());
  return places;
}

}  // namespace gaggle
