// Where a first config's model and tasks are; and what to do where there are none.
#include <algorithm>

#include "base/error.h"
#include "base/names.h"
#include "base/shell_word.h"
#include "registry/registry.h"
#include "registry/version_files.h"
#include "workflow/first_config.h"

namespace gaggle {
namespace {

constexpr size_t most_listed = 3;

std::string listed(const std::vector<std::filesystem::path>& paths) {
  std::vector<std::string> names;
  for (const std::filesystem::path& path : paths) names.push_back(path.lexically_normal().string());
  return join(names, ", ");
}

std::filesystem::path only_model(const std::filesystem::path& folder, const FolderContents& found) {
  if (found.models.empty())
    user_error(
        "{}: no model is there (a folder with config.json, or a .gguf file); --model names one that lies elsewhere, or a hub "
        "name (org/name) in the local hub cache",
        folder.string());
  if (found.models.size() > 1)
    user_error("{}: there are {} models, {}; --model says which", folder.string(), found.models.size(),
               listed(found.models));
  return found.models[0];
}

std::string conversions_text(const std::vector<std::filesystem::path>& files, const std::filesystem::path& out) {
  std::string text;
  for (size_t i = 0; i < std::min(files.size(), most_listed); ++i) text += "\n  " + converting_line(files[i], out);
  if (files.size() > most_listed) text += fmt::format("\n  and {} more files", files.size() - most_listed);
  return text;
}

[[noreturn]] void refuse_unconverted(const std::filesystem::path& place,
                                     const std::vector<std::filesystem::path>& files, std::filesystem::path out,
                                     bool named) {
  out = out.lexically_normal();
  user_error("{}: no task is there (*.jsonl), but what becomes one by{}\nthen start gaggle init again{}",
             place.string(), conversions_text(files, out), named ? " with --tasks " + shell_word(out.string()) : "");
}

std::vector<std::string> places_in(const std::filesystem::path& folder, const FolderContents& found) {
  std::vector<std::string> places;
  for (const std::filesystem::path& path : found.tasks) places.push_back(path.lexically_normal().string());
  if (!places.empty()) return places;
  if (!found.others.empty()) refuse_unconverted(folder, found.others, folder / "tasks", /*named=*/false);
  user_error(
      "{}: no task is there (a .jsonl file of {{\"input\": …, \"output\": …}} rows, docs/tasks.md); --tasks names files or "
      "folders that lie elsewhere",
      folder.string());
}

}  // namespace

std::string model_of(const FirstConfigRequest& request, const FolderContents& found) {
  return request.model.empty() ? only_model(request.folder, found).lexically_normal().string() : request.model;
}

ExpertsThere experts_there(const FirstConfig& first) {
  ExpertsThere there;
  if (!std::filesystem::exists(first.config.registry.path)) return there;
  const Registry registry = Registry::open(first.config.registry.path, std::nullopt, false);
  there.collected = registry.find(Kind::collection, first.config.run.name).has_value();
  for (const Version& expert : registry.list(Kind::expert)) {
    if (!expert.current) continue;
    there.names.insert(expert.name);
    there.gated += is_gated(expert);
  }
  return there;
}

std::vector<std::string> task_places(const FirstConfigRequest& request, const FolderContents& found) {
  if (request.tasks.empty()) return places_in(request.folder, found);
  for (const std::filesystem::path path : request.tasks) {
    if (std::filesystem::is_directory(path)) {
      const FolderContents inside = contents_of(path);
      if (inside.tasks.empty() && !inside.others.empty())
        refuse_unconverted(path, inside.others, request.folder / "tasks", /*named=*/true);
    } else if (std::filesystem::exists(path) && path.extension() != ".jsonl" && path.extension() != ".toml") {
      refuse_unconverted(path, {path}, request.folder / "tasks", /*named=*/true);
    }
  }
  return request.tasks;
}

}  // namespace gaggle
