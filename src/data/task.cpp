#include "data/task.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/long_phase.h"
#include "base/names.h"
#include "base/table.h"
#include "base/terminal.h"
#include "data/example.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

// Where a task lies: its examples, its description, or both.
struct Source {
  fs::path examples, about;
  std::string name() const { return (examples.empty() ? about : examples).stem().string(); }
  std::string path() const { return (examples.empty() ? about : examples).string(); }
};

Source source_of(const fs::path& path) {
  const fs::path jsonl = fs::path(path).replace_extension(".jsonl"), toml = fs::path(path).replace_extension(".toml");
  return {path.extension() == ".toml" && !fs::exists(jsonl) ? fs::path() : jsonl, fs::exists(toml) ? toml : fs::path()};
}

// Other TOML files, a run's config say, may lie among the tasks: without examples beside it,
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

// As it is compared with others. What the system takes for no path (too long, links in a circle) stays as it is written:
// it is none of theirs, and whoever reads it says why not.
fs::path where_it_is(const fs::path& path) {
  std::error_code failed;
  const fs::path found = fs::weakly_canonical(path, failed);
  return failed ? path : found;
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
    if (source.examples.empty() && !names_files(source.about)) continue;
    sources.push_back(source);
    if (source.about.empty()) continue;
    for (const WeightedFile& file : read_about(source.about).files)
      if (file.path.stem() != source.name()) listed.insert(where_it_is(file.path));
  }
  std::erase_if(sources,
                [&](const Source& s) { return !s.examples.empty() && listed.contains(where_it_is(s.examples)); });
  if (sources.empty()) user_error("{}: the folder holds no task (*.jsonl)", folder.string());
  return sources;
}

std::vector<Source> find_sources(const std::vector<std::string>& paths) {
  std::map<std::string, Source> by_name;
  for (const std::string& path : paths) {
    if (!fs::exists(path)) user_error("{}: there is no such file or folder of tasks", path);
    const fs::path extension = fs::path(path).extension();
    if (!fs::is_directory(path) && extension != ".jsonl" && extension != ".toml")
      user_error("{}: not a task file (.jsonl, or a .toml that names files); tools/tasks.py makes them from others",
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

// All examples, ids and splits given, training examples as often as their file's weight says.
std::vector<ExampleOfFile> weighted_examples(const About& about, const std::function<void()>& heed) {
  std::vector<ExampleOfFile> all;
  for (const WeightedFile& file : about.files) {
    int64_t trained = 0;
    for (ExampleOfFile& entry : read_examples(file.path, heed)) {
      if (heed) heed();
      if (entry.example.id.empty())
        entry.example.id = about.files.size() > 1 ? fmt::format("{}:{}", file.path.stem().string(), entry.line)
                                                  : fmt::format("{}", entry.line);
      if (!entry.split) entry.split = dealt_split(entry.example);
      const int64_t times = entry.split == Split::train ? times_taken(trained++, file.weight) : 1;
      for (int64_t i = 0; i < times; ++i) {
        all.push_back(entry);
        if (i > 0) all.back().example.id += fmt::format("#{}", i + 1);
      }
    }
  }
  return all;
}

std::string metric_of(const About& about, const std::vector<ExampleOfFile>& examples, const std::string& name) {
  const auto bare =
      std::find_if(examples.begin(), examples.end(), [](const ExampleOfFile& r) { return r.example.choices.empty(); });
  if (about.metric == "accuracy" && bare != examples.end())
    user_error("{}: the metric of task {} is accuracy (of ranking choices), but this example has no choices",
               bare->where(), name);
  if (!about.metric.empty()) return about.metric;
  return bare == examples.end() ? "accuracy" : "exact_match";
}

About about_of(const Source& source) {
  About about;
  if (!source.about.empty()) about = read_about(source.about);
  if (about.files.empty()) {
    if (source.examples.empty())
      user_error("{}: names no files, and no {}.jsonl lies beside it", source.path(), source.name());
    about.files = {{source.examples, 1}};
  }
  return about;
}

Task load_task(const Source& source, int64_t limit, const std::function<void()>& heed) {
  const About about = about_of(source);
  const std::vector<ExampleOfFile> examples = weighted_examples(about, heed);
  if (examples.empty()) user_error("{}: the task is empty (no examples)", source.path());
  Task task;
  task.name = source.name();
  task.definition = about.definition;
  task.category = about.category;
  task.group = about.group;
  task.metric = metric_of(about, examples, task.name);
  task.prompt = about.prompt;
  std::map<std::string, const ExampleOfFile*> ids;
  for (const ExampleOfFile& entry : examples) {
    const auto [other, is_new] = ids.emplace(entry.example.id, &entry);
    if (!is_new)
      user_error("{} and {}: two examples of the id {}", other->second->where(), entry.where(),
                 in_quotes(entry.example.id));
    task.splits[static_cast<size_t>(*entry.split)].push_back(entry.example);
  }
  limit_examples(task, limit);
  return task;
}

}  // namespace

Split split_named(const std::string& name, const std::string& where) {
  for (size_t i = 0; i < split_names.size(); ++i)
    if (name == split_names[i]) return static_cast<Split>(i);
  user_error("{}: unknown split {} ({})", where, in_quotes(name),
             known_names(name, {split_names.begin(), split_names.end()}));
}

std::vector<Task> load_tasks(const std::vector<std::string>& paths, int64_t limit_examples,
                             const std::function<void()>& heed) {
  std::vector<Task> tasks;
  const std::vector<Source> sources = find_sources(paths);
  LongPhase phase("reading " + plural(sources.size(), "task"), static_cast<double>(sources.size()));
  const auto between = [&] {
    if (heed) heed();
    phase.add(0);
  };
  for (const Source& source : sources) {
    tasks.push_back(load_task(source, limit_examples, between));
    phase.add();
  }
  return tasks;
}

void limit_examples(Task& task, int64_t limit) {
  if (limit == 0) return;
  for (auto& split : task.splits) split.resize(std::min(split.size(), static_cast<size_t>(limit)));
}

bool is_of_generated(const std::string& metric) {
  return metric == "exact_match" || metric == "f1" || metric == "rouge_l";
}

bool counts_right(const std::string& metric) { return metric == "accuracy" || metric == "exact_match"; }

bool is_a_share(const std::string& metric) { return is_of_generated(metric) && !counts_right(metric); }

std::vector<TaskFiles> find_tasks(const std::vector<std::string>& paths) {
  std::vector<TaskFiles> tasks;
  for (const Source& source : find_sources(paths)) tasks.push_back({source.name(), about_of(source)});
  return tasks;
}

void require_train_examples(const std::string& task, size_t train, size_t validation, size_t test) {
  if (train == 0)
    user_error(
        "task {} has no train split ({} validation and {} test examples): it cannot be trained on; give some "
        "examples \"split\": \"train\", or use it for evaluation only (eval.tasks)",
        task, validation, test);
}

}  // namespace gaggle
