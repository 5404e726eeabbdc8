// The rows of one JSONL file, as they stand in it: every line checked, no split dealt yet.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/task.h"

namespace gaggle {

struct FileRow {
  Row row;                     // its id is "" where the line gives none
  std::optional<Split> split;  // where the line gives one
  std::filesystem::path file;
  int64_t line = 0;
  std::string where() const;  // "tasks/tomi.jsonl:12"
};

// Throws UserError with file:line for what is not UTF-8, not JSON, or not a row. Blank lines are passed over.
std::vector<FileRow> read_rows(const std::filesystem::path& file);

// By the digest of what the row says (not of its id): 80% train, 10% validation, 10% test.
Split dealt_split(const Row& row);

}  // namespace gaggle
