#include "data/task.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/names.h"
#include "data/about.h"
#include "data/row.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

// Where a task lies: its rows, its description, or both.
struct Source {
  fs::path rows, about;
  std::string name() const { return (rows.empty() ? about : rows).stem().string(); }
  std::string path() const { return (rows.empty() ? about : rows).string(); }
};

Source source_of(const fs::path& path) {
  const fs::path jsonl = fs::path(path).replace_extension(".jsonl"),
                 toml = fs::path(path).replace_extension(".toml");
  return {path.extension() == ".toml" && !fs::exists(jsonl) ? fs::path() : jsonl,
          fs::exists(toml) ? toml : fs::path()};
}

// Other TOML files, a run's config say, may lie among the tasks: without rows beside it,
// only one that names files is a task.
bool names_files(const fs::path& about) {
  try {
    if (!read_about(about).files.empty()) return true;
  } catch (const UserError&) {
  }
  log::warning("{}: not read: no .jsonl of its name lies beside it, and it is no task that names its files",
               about.string());
  return false;
}

// Tasks of one folder. A file that another of them lists among its `files` is no task of its own.
std::vector<Source> sources_in(const fs::path& folder) {
  std::set<fs::path> stems, listed;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed))
    if (entry.path().extension() == ".jsonl" || entry.path().extension() == ".toml")
      stems.insert(fs::path(entry.path()).replace_extension());
  if (failed) user_error("{}: the folder cannot be read ({})", folder.string(), failed.message());
  std::vector<Source> sources;
  for (const fs::path& stem : stems) {
    const Source source = source_of(fs::path(stem) += ".toml");
    if (source.rows.empty() && !names_files(source.about)) continue;
    sources.push_back(source);
    if (source.about.empty()) continue;
    for (const WeightedFile& file : read_about(source.about).files)
      if (file.path.stem() != source.name()) listed.insert(fs::weakly_canonical(file.path));
  }
  std::erase_if(sources, [&](const Source& s) {
    return !s.rows.empty() && listed.contains(fs::weakly_canonical(s.rows));
  });
  if (sources.empty()) user_error("{}: the folder holds no task (*.jsonl)", folder.string());
  return sources;
}

std::vector<Source> find_sources(const std::vector<std::string>& paths) {
  std::map<std::string, Source> by_name;
  for (const std::string& path : paths) {
    if (!fs::exists(path)) user_error("{}: there is no such file or folder of tasks", path);
    const fs::path extension = fs::path(path).extension();
    if (!fs::is_directory(path) && extension != ".jsonl" && extension != ".toml")
      user_error(
          "{}: not a task file (.jsonl, or a .toml that names files); tools/tasks.py makes them from others",
          path);
    for (const Source& source : fs::is_directory(path) ? sources_in(path) : std::vector{source_of(path)}) {
      check_name(source.name(), source.path() + ": the task's name");
      const auto [other, is_new] = by_name.emplace(source.name(), source);
      if (!is_new)
        user_error("{} and {}: two tasks of the name {}; rename one, or list them as files of one NAME.toml",
                   other->second.path(), source.path(), source.name());
    }
  }
  std::vector<Source> sources;
  for (const auto& [name, source] : by_name) sources.push_back(source);
  return sources;
}

// All rows, ids and splits given, training rows as often as their file's weight says.
std::vector<FileRow> weighted_rows(const About& about) {
  std::vector<FileRow> all;
  for (const WeightedFile& file : about.files) {
    int64_t trained = 0;
    for (FileRow& row : read_rows(file.path)) {
      if (row.row.id.empty())
        row.row.id = about.files.size() > 1 ? fmt::format("{}:{}", file.path.stem().string(), row.line)
                                            : fmt::format("{}", row.line);
      if (!row.split) row.split = dealt_split(row.row);
      const int64_t times = row.split == Split::train ? times_taken(trained++, file.weight) : 1;
      for (int64_t i = 0; i < times; ++i) {
        all.push_back(row);
        if (i > 0) all.back().row.id += fmt::format("#{}", i + 1);
      }
    }
  }
  return all;
}

std::string metric_of(const About& about, const std::vector<FileRow>& rows, const std::string& name) {
  const auto bare =
      std::find_if(rows.begin(), rows.end(), [](const FileRow& r) { return r.row.choices.empty(); });
  if (about.metric == "accuracy" && bare != rows.end())
    user_error("{}: the metric of task {} is accuracy (of ranking choices), but this row has no choices",
               bare->where(), name);
  if (!about.metric.empty()) return about.metric;
  return bare == rows.end() ? "accuracy" : "exact_match";
}

Task load_task(const Source& source, int64_t limit_examples) {
  About about;
  if (!source.about.empty()) about = read_about(source.about);
  if (about.files.empty()) {
    if (source.rows.empty())
      user_error("{}: names no files, and no {}.jsonl lies beside it", source.path(), source.name());
    about.files = {{source.rows, 1}};
  }
  const std::vector<FileRow> rows = weighted_rows(about);
  if (rows.empty()) user_error("{}: the task is empty (no rows)", source.path());
  Task task;
  task.name = source.name();
  task.definition = about.definition;
  task.category = about.category;
  task.metric = metric_of(about, rows, task.name);
  task.prompt = about.prompt;
  std::map<std::string, const FileRow*> ids;
  for (const FileRow& row : rows) {
    const auto [other, is_new] = ids.emplace(row.row.id, &row);
    if (!is_new)
      user_error("{} and {}: two rows of the id \"{}\"", other->second->where(), row.where(), row.row.id);
    auto& split = task.splits[static_cast<size_t>(*row.split)];
    if (limit_examples == 0 || static_cast<int64_t>(split.size()) < limit_examples) split.push_back(row.row);
  }
  return task;
}

}  // namespace

std::vector<Task> load_tasks(const std::vector<std::string>& paths, int64_t limit_examples) {
  std::vector<Task> tasks;
  for (const Source& source : find_sources(paths)) tasks.push_back(load_task(source, limit_examples));
  return tasks;
}

void require_train_rows(const std::string& task, size_t train, size_t validation, size_t test) {
  if (train == 0)
    user_error(
        "task {} has no train split ({} validation and {} test rows): it cannot be trained on; give some rows "
        "\"split\": \"train\", or use it for evaluation only (eval.tasks)",
        task, validation, test);
}

}  // namespace gaggle
