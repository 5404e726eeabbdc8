// gaggle status: who works on what in a registry or a run folder, from any terminal. Reads files alone.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/commands.h"
#include "app/status_text.h"
#include "base/clock.h"
#include "base/file.h"
#include "config/read.h"
#include "registry/registry.h"

namespace gaggle {
namespace {

struct WorkPlace {
  std::string what;
  std::unique_ptr<StatusReader> reader;
};

bool has_work(const fs::path& folder) {
  return fs::is_directory(folder / "work" / "journal");
}

WorkPlace of_registry(const fs::path& folder) {
  const auto registry = std::make_shared<Registry>(Registry::open(folder, std::nullopt, /*create=*/false));
  return {"experts", std::make_unique<StatusReader>(
                         folder, [registry](const WorkItem& item) -> std::optional<std::string> {
                           const auto there = registry->find_key(Kind::expert, item.name, item.key);
                           return there ? std::optional(there->version) : std::nullopt;
                         })};
}

// Results are files items/KEY.json.
WorkPlace of_results(const std::string& what, const fs::path& folder) {
  return {what, std::make_unique<StatusReader>(folder, [folder](const WorkItem& item) {
            return fs::exists(folder / "items" / (item.key + ".json")) ? std::optional<std::string>("")
                                                                       : std::nullopt;
          })};
}

// A run of all ranks together: done where its journal says so.
WorkPlace of_pretraining(const fs::path& folder) {
  const auto journals = std::make_shared<JournalReader>(folder, "");
  return {"pretraining", std::make_unique<StatusReader>(
                             folder, [journals](const WorkItem& item) -> std::optional<std::string> {
                               journals->poll();
                               for (const JournalEvent& event : journals->events("committed"))
                                 if (event.key == item.key) return event.detail;
                               return std::nullopt;
                             })};
}

std::vector<WorkPlace> sections_of(const fs::path& path) {
  std::vector<WorkPlace> sections;
  if (fs::exists(path / "registry.json")) {
    sections.push_back(of_registry(path));
    return sections;
  }
  if (!fs::is_directory(path)) user_error("{}: no such folder", path.string());
  if (has_work(path)) sections.push_back(of_pretraining(path));
  if (has_work(path / "adapt")) sections.push_back(of_results("adaptation", path / "adapt"));
  if (has_work(path / "eval")) sections.push_back(of_results("evaluation", path / "eval"));
  // Pretraining is told from its own folder; its registry may be full of other jobs.
  if (!has_work(path) && fs::exists(path / "config.toml")) {
    const fs::path registry = read_config(path / "config.toml", {}).registry.path;
    if (fs::exists(registry / "registry.json") && has_work(registry)) sections.push_back(of_registry(registry));
  }
  if (sections.empty())
    user_error("{}: neither a registry nor a run folder in which something was started", path.string());
  return sections;
}

bool over(const std::vector<WorkStatus>& all) {
  for (const WorkStatus& status : all)
    if (status.count(Standing::done) + status.count(Standing::aside) < status.items.size()) return false;
  return true;
}

std::vector<WorkStatus> look(std::vector<WorkPlace>& sections) {
  std::vector<WorkStatus> all;
  for (WorkPlace& section : sections) all.push_back(section.reader->look());
  return all;
}

// Until workers of other hosts are judged.
std::vector<WorkStatus> look_twice(std::vector<WorkPlace>& sections) {
  for (;;) {
    std::vector<WorkStatus> all = look(sections);
    const bool undecided =
        std::ranges::any_of(sections, [](const WorkPlace& s) { return s.reader->undecided(); });
    if (!undecided) return all;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

void print(const std::vector<WorkPlace>& sections, const std::vector<WorkStatus>& all,
           const StatusOptions& options) {
  if (options.watch && !options.json && ::isatty(STDOUT_FILENO)) std::fputs("\x1b[H\x1b[2J", stdout);
  auto json = nlohmann::ordered_json::array();
  for (size_t i = 0; i < all.size(); ++i) {
    if (options.json)
      json.push_back(status_json(sections[i].what, all[i]));
    else
      fmt::print("{}{}", i > 0 ? "\n" : "", status_text(sections[i].what, all[i]));
  }
  if (options.json)
    std::puts(json.dump(options.watch ? -1 : 2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  std::fflush(stdout);
}

}  // namespace

Exit command_status(const StatusOptions& options) {
  std::vector<WorkPlace> sections = sections_of(options.path);
  std::vector<WorkStatus> all = options.watch ? look(sections) : look_twice(sections);
  print(sections, all, options);
  while (options.watch && !over(all)) {
    std::this_thread::sleep_for(std::chrono::seconds(2));
    all = look(sections);
    print(sections, all, options);
  }
  return Exit::done;
}

}  // namespace gaggle
