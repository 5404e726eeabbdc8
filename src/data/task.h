// Task files: one JSONL file per task (docs/tasks.md), an optional NAME.toml beside it.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace gaggle {

enum class Split { train, validation, test };
inline constexpr std::array<const char*, 3> split_names = {"train", "validation", "test"};

struct Message {
  std::string role;  // system | user | assistant
  std::string content;
};

struct Row {
  std::string id;                    // the row's own, or "LINE" ("STEM:LINE" in a task of several files)
  std::vector<Message> messages;     // what comes before the output; an "input" row is one user message
  std::string output;                // never empty
  std::vector<std::string> choices;  // may be empty; else distinct, and one of them is `output`
};

struct Task {
  std::string name;
  std::string definition, category;
  // "accuracy" (rank classification), "exact_match", "nll"; default: accuracy if all rows have choices
  std::string metric;
  std::string prompt;  // "": the run's
  std::array<std::vector<Row>, 3> splits;
  const std::vector<Row>& rows(Split split) const { return splits[static_cast<size_t>(split)]; }
};

// Files (.jsonl, or a .toml that names its files) and folders of them → tasks in name order. Rows without
// `split` are dealt by the digest of their content: 80% train, 10% validation, 10% test. `limit_examples` (0: all)
// keeps the first rows of each split. Throws UserError with file:line for a line that is not a row, for an
// empty task, for two tasks of one name, for two rows of one id.
std::vector<Task> load_tasks(const std::vector<std::string>& paths, int64_t limit_examples);

// Throws UserError that names the task if it has no rows to train on: for whoever is about to train on it.
void require_train_rows(const std::string& task, size_t train, size_t validation, size_t test);
template <class TaskOrTokenTask>
void require_train(const TaskOrTokenTask& task) {
  require_train_rows(task.name, task.splits[0].size(), task.splits[1].size(), task.splits[2].size());
}

}  // namespace gaggle
