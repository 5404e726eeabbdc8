// NAME.toml of a task, beside the examples that it is about: named as a file, and found in its folder.
#include "data/task.h"
#include "fuzz.h"

void gaggle::fuzz::try_input(std::string_view bytes) {
  static const Scratch scratch;
  static const bool with_examples = [] {
    write(scratch.path() / "more.jsonl", R"({"input": "2 + 2", "output": "4", "split": "train"})");
    write(scratch.path() / "task.jsonl", R"({"input": "3 + 2", "output": "5", "choices": ["5", "6"]})");
    return true;
  }();
  (void)with_examples;
  const fs::path file = scratch.path() / "task.toml";
  write(file, bytes);
  attempt([&] { load_tasks({file.string()}, 0); });
  load_tasks({scratch.path().string()}, 0);
}
