// NAME.toml beside a task's examples: what the task is, and which files it is made of.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gaggle {

struct WeightedFile {
  std::filesystem::path path;
  double weight = 1;  // times each of its training examples is taken
};

struct About {
  std::string definition, prompt, metric, category;
  std::string group;                // the dataset whose template this task is; "": of none
  std::vector<WeightedFile> files;  // empty: the .jsonl of the same name
};

// Throws UserError with file:line:column for TOML errors, unknown keys and values of the wrong type.
About read_about(const std::filesystem::path& file);

// What read_about reads, for a file in `folder`: paths are written relative to it.
std::string about_text(const About& about, const std::filesystem::path& folder);

// How often example i of a file of this weight is taken for training: ⌊(i+1)·w⌋ - ⌊i·w⌋.
int64_t times_taken(int64_t i, double weight);

}  // namespace gaggle
