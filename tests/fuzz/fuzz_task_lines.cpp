// The lines of a task's JSONL file.
#include "data/task.h"
#include "fuzz.h"

void gaggle::fuzz::try_input(std::string_view bytes) {
  static const Scratch scratch;
  const fs::path file = scratch.path() / "task.jsonl";
  write(file, bytes);
  load_tasks({file.string()}, 0);
}
