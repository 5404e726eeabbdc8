// The examples of one JSONL file, as they stand in it: every line checked, no split dealt yet.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/task.h"

namespace gaggle {

struct ExampleOfFile {
  Example example;             // its id is "" where the line gives none
  std::optional<Split> split;  // where the line gives one
  std::filesystem::path file;
  int64_t line = 0;
  std::string where() const;  // "tasks/tomi.jsonl:12"
};

// Throws UserError with file:line for what is not UTF-8, not JSON, or not an example. Blank lines are passed over.
// `heed` is called for each line; it may throw to stop.
std::vector<ExampleOfFile> read_examples(const std::filesystem::path& file, const std::function<void()>& heed);

// By the digest of what the example says (not of its id): 80% train, 10% validation, 10% test.
Split dealt_split(const Example& example);

}  // namespace gaggle
