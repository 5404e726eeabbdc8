#include "workflow/status.h"

#include "base/error.h"
#include "base/file.h"
#include "config/read.h"
#include "registry/registry.h"

namespace gaggle {
namespace {

using Word = std::optional<std::string>;

bool has_work(const fs::path& folder) { return fs::is_directory(folder / "work" / "journal"); }

WorkPlace of_registry(const fs::path& folder) {
  const auto registry = std::make_shared<Registry>(Registry::open(folder, std::nullopt, /*create=*/false));
  return {"experts", std::make_unique<StatusReader>(folder, [registry](const WorkItem& item) {
            const auto stored = registry->find_key(Kind::expert, item.name, item.key);
            return stored ? Word(stored->version) : std::nullopt;
          })};
}

// Results are files items/KEY.json.
WorkPlace of_results(const std::string& kind, const fs::path& folder) {
  return {kind, std::make_unique<StatusReader>(folder, [folder](const WorkItem& item) {
            return fs::exists(folder / "items" / (item.key + ".json")) ? Word("") : std::nullopt;
          })};
}

// One item that all ranks make: done where a journal says so.
WorkPlace of_pretraining(const fs::path& folder) {
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
  if (!has_work(path) && fs::exists(path / "config.toml")) {
    const fs::path registry = read_config(path / "config.toml", {}).registry.path;
    if (fs::exists(registry / "registry.json") && has_work(registry)) places.push_back(of_registry(registry));
  }
  if (places.empty())
    user_error("{}: neither a registry nor a run folder in which something was started", path.string());
  return places;
}

}  // namespace gaggle
