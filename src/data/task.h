// Task files: one JSONL file per task (docs/formats.md), an optional NAME.toml beside it.
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
  std::string role;     // system | user | assistant
  std::string content;
};

struct Row {
  std::string id;                    // the row's own, or "LINE"
  std::vector<Message> messages;     // what comes before the output; an "input" row is one user message
  std::string output;
  std::vector<std::string> choices;  // may be empty; else holds `output`
};

struct Task {
  std::string name;
  std::string definition, category;
  std::string metric;                // "accuracy" (rank classification where rows have choices), "exact_match", "nll"
  std::string prompt;                // "": the run's
  std::array<std::vector<Row>, 3> splits;
  const std::vector<Row>& rows(Split split) const { return splits[static_cast<size_t>(split)]; }
};

// Files and folders of *.jsonl → tasks in name order. Rows without `split` are dealt by the digest of their content:
// 80% train, 10% validation, 10% test. `limit_rows` (0: all) keeps the first rows of each split. Throws UserError
// with file:line for a line that is not a row, for an empty task, for two tasks of one name.
std::vector<Task> load_tasks(const std::vector<std::string>& paths, int64_t limit_rows);

}  // namespace gaggle
