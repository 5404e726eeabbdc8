// The tasks of a first config: their rows, their metrics, and what those rows want that are none.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "cluster/stop.h"
#include "workflow/first_config.h"

namespace gaggle {
namespace {

constexpr int64_t rows_looked_at = 1000;  // of each split, for lengths

// Rows that are no examples of ours are perhaps another program's: says how they become ours.
[[noreturn]] void refuse_rows(const UserError& error, const std::vector<std::string>& places) {
  const std::string said = error.what();
  for (const TaskFiles& task : find_tasks(places))
    for (const WeightedFile& file : task.about.files)
      if (said.starts_with(file.path.string() + ":") && has_other_rows(file.path))
        user_error("{}\nrows with other fields become a task by\n  {}", said,
                   converting_line(file.path, file.path.parent_path() / "tasks"));
  throw error;
}

std::vector<Task> read_tasks(const std::vector<std::string>& places) {
  try {
    return load_tasks(places, 0, heed_stop_requests);
  } catch (const UserError& error) {
    refuse_rows(error, places);
  }
}

// How data.tasks may name it by itself.
std::string path_of(const TaskFiles& task, const std::vector<std::string>& places) {
  for (const std::filesystem::path place : places)
    for (const std::filesystem::path& path : {place, place / (task.name + ".jsonl"), place / (task.name + ".toml")})
      if (path.stem() == task.name && std::filesystem::is_regular_file(path)) return path.string();
  return task.about.files[0].path.string();
}

// Why a task has its metric, and what would suit it better.
std::string about_metric(const Task& task, bool said) {
  if (said) return "as its .toml says";
  if (task.metric == "accuracy") return "every row has choices";
  constexpr size_t few = 10, long_answer = 100;
  std::set<std::string> outputs;
  size_t rows = 0, characters = 0;
  for (const auto& split : task.splits)
    for (const Example& example : split) {
      if (outputs.size() <= few) outputs.insert(example.output);
      characters += example.output.size();
      ++rows;
    }
  if (outputs.size() <= few && rows >= 10 * outputs.size())
    return fmt::format("only {} different answers: as \"choices\" of each row they would be ranked", outputs.size());
  if (characters > long_answer * rows)
    return fmt::format("long answers: metric = \"rouge_l\" in {}.toml counts what is alike", task.name);
  return "not every row has choices";
}

}  // namespace

std::vector<SeenTask> look_at_tasks(const std::vector<std::string>& places, const Inputs& inputs,
                                    const Config& config) {
  const std::vector<TaskFiles> files = find_tasks(places);
  std::vector<SeenTask> seen;
  for (Task& task : read_tasks(places)) {
    const TaskFiles& of = *std::ranges::find(files, task.name, &TaskFiles::name);
    SeenTask& one = seen.emplace_back(
        SeenTask{task.name, path_of(of, places), task.metric, about_metric(task, !of.about.metric.empty())});
    for (size_t split = 0; split < one.rows.size(); ++split)
      one.rows[split] = static_cast<int64_t>(task.splits[split].size());
    limit_examples(task, rows_looked_at);
    one.tokens = tokenized(config, inputs, task);
  }
  return seen;
}

}  // namespace gaggle
