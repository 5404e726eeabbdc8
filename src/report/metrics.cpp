#include "report/metrics.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace gaggle {

MetricsLog::MetricsLog(const std::filesystem::path& run_dir, const std::string& item, bool tensorboard) {
  const auto folder = run_dir / "items" / item;
  std::filesystem::create_directories(folder);
  file_ = folder / "metrics.jsonl";
  if (fs::exists(file_)) open_to_read(file_);  // refuses a pipe
  lines_.open(file_, std::ios::app);
  if (!lines_) system_error("{}: cannot be written", file_.string());
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

void MetricsLog::event(const std::string& tag, int64_t step, double value) {
  if (events_) events_->scalar(tag, step, value, wall_seconds());
}

void MetricsLog::flush() {
  lines_.flush();
  if (!lines_ && !std::exchange(warned_, true))
    log::warning("{}: cannot be written; lines of it are lost", file_.string());
  lines_.clear();
  if (events_) events_->flush();
}

}  // namespace gaggle
