// What machines read of a run: metrics.jsonl, and TensorBoard event files of the same numbers.
#pragma once

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/tfevents.h"

namespace gaggle {

// One item's metrics: <run folder>/items/<item>/metrics.jsonl and, if asked for, event files in
// <run folder>/tensorboard/<item>/. A worker that takes an item over appends.
class MetricsLog {
 public:
  MetricsLog(const std::filesystem::path& run_dir, const std::string& item, bool tensorboard);
  // One line {"phase", "step", name: value, …}; in TensorBoard the tags are "phase/name". Non-finite values are
  // written as null.
  void write(const std::string& phase, int64_t step, const std::vector<std::pair<std::string, double>>& values);
  // A number that TensorBoard alone shows.
  void event(const std::string& tag, int64_t step, double value);
  // Lines that the disk does not take are lost, and a warning says so, once: no training ends for them.
  void flush();

 private:
  std::filesystem::path file_;
  bool warned_ = false;
  std::ofstream lines_;
  std::optional<TensorboardWriter> events_;
};

}  // namespace gaggle
