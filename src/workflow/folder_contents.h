// What a folder holds to begin with: base models, task files, and files that tools/tasks.py makes tasks of. Names are
// looked at, down to two folders deep; registries and run folders are passed over.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gaggle {

struct FolderContents {
  std::vector<std::filesystem::path> models;  // folders with config.json, .gguf files
  std::vector<std::filesystem::path> tasks;   // folders of .jsonl files; of the folder itself each of its files
  std::vector<std::filesystem::path> others;  // .csv, .tsv, .json, .parquet, .txt
};
// All by name. Throws UserError where the folder itself cannot be read.
FolderContents contents_of(const std::filesystem::path& folder);

// The line that makes a task file in `out` of such a file, with its own columns where they can be told:
// "tools/tasks.py csv quiz.csv --input-field question --output-field answer --out tasks".
std::string converting_line(const std::filesystem::path& file, const std::filesystem::path& out);
// Whether that line helps a .jsonl file: its first row is one of another program's form, not a broken row of ours.
bool has_other_rows(const std::filesystem::path& file);

}  // namespace gaggle
