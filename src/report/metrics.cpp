#include "report/metrics.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"

namespace gaggle {

MetricsLog::MetricsLog(const std::filesystem::path& run_dir, const std::string& item, bool tensorboard) {
  const auto folder = run_dir / "items" / item;
  std::filesystem::create_directories(folder);
  if (fs::exists(folder / "metrics.jsonl")) open_to_read(folder / "metrics.jsonl");  // refuses a pipe
  lines_.open(folder / "metrics.jsonl", std::ios::app);
  if (!lines_) system_error("{}: cannot be written", (folder / "metrics.jsonl").string());
  if (tensorboard) events_.emplace(run_dir / "tensorboard" / item);
}

void MetricsLog::write(const std::string& phase, int64_t step,
                       const std::vector<std::pair<std::string, double>>& values) {
  nlohmann::ordered_json line = {{"phase", phase}, {"step", step}};
  for (const auto& [name, value] : values) {
    line[name] = std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
    if (events_) events_->scalar(phase + "/" + name, step, value, wall_seconds());
  }
  lines_ << line.dump() << "\n";
}

void MetricsLog::flush() {
  lines_.flush();
  if (events_) events_->flush();
}

}  // namespace gaggle
