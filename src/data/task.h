// Task files: one JSONL file per task (docs/tasks.md), an optional NAME.toml beside it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/about.h"

namespace gaggle {

enum class Split { train, validation, test };
inline constexpr std::array<const char*, 3> split_names = {"train", "validation", "test"};
Split split_named(const std::string& name, const std::string& where);  // throws UserError that begins with `where`

struct Message {
  std::string role;  // system | user | assistant
  std::string content;
};

struct Example {
  std::string id;                    // the example's own, or "LINE" ("STEM:LINE" in a task of several files)
  std::vector<Message> messages;     // what comes before the output; an "input" example is one user message
  std::string output;                // never empty
  std::vector<std::string> choices;  // may be empty; else distinct, and one of them is `output`
  std::vector<size_t> shots = {};    // shown before it, solved: places in Task::shot_pool, in their order
};

struct Task {
  std::string name;
  std::string definition, category;
  // "accuracy" (rank classification), "exact_match", "f1", "rouge_l" (of what is generated), "nll"; default: accuracy if
  // all examples have choices, else exact_match
  std::string metric;
  std::string prompt;              // "": the run's
  std::string group;               // the dataset whose template this is; "": of none
  std::vector<Example> shot_pool;  // what shots are taken from (data/shots.h)
  std::array<std::vector<Example>, 3> splits;
  const std::vector<Example>& examples(Split split) const { return splits[static_cast<size_t>(split)]; }
};

// Files (.jsonl, or a .toml that names its files) and folders of them → tasks in name order. Examples without
// `split` are dealt by the digest of their content: 80% train, 10% validation, 10% test. `limit_examples` (0:
// all) keeps the first examples of each split. Throws UserError with file:line for a line that is not an
// example, for an empty task, for two tasks of one name, for two examples of one id.
std::vector<Task> load_tasks(const std::vector<std::string>& paths, int64_t limit_examples,
                             const std::function<void()>& heed = {});

// Keeps the first examples of each split; 0: all.
void limit_examples(Task& task, int64_t limit);

// Whether the metric compares the output with what is generated.
bool is_of_generated(const std::string& metric);
// Whether it says right or wrong of each example; else it is a share between 0 and 1.
bool counts_right(const std::string& metric);
// Whether what is generated gets such a share.
bool is_a_share(const std::string& metric);

// Where tasks lie, in name order; examples are not read. `about.files` is never empty. Throws UserError as load_tasks does
// for paths and for NAME.toml.
struct TaskFiles {
  std::string name;
  About about;
};
std::vector<TaskFiles> find_tasks(const std::vector<std::string>& paths);

// Throws UserError that names the task if it has no examples to train on: for whoever is about to train on it.
void require_train_examples(const std::string& task, size_t train, size_t validation, size_t test);
template <class TaskOrTokenTask>
void require_train(const TaskOrTokenTask& task) {
  require_train_examples(task.name, task.splits[0].size(), task.splits[1].size(), task.splits[2].size());
}

}  // namespace gaggle
