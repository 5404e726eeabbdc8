#include "app/pretrain_job.h"

#include <charconv>

#include "base/error.h"
#include "base/file.h"

namespace gaggle {
namespace {

constexpr const char* lanes_file = "lanes";

}  // namespace

std::string routed_name(const Config& config) {
  return config.run.name + (config.run.variant.empty() ? "" : "-" + config.run.variant);
}

fs::path checkpoints_of(const fs::path& run_dir) {
  return run_dir / "checkpoints";
}

int64_t resolve_lanes(const Config& config, const Session& session) {
  const int ranks = session.world->size();
  const fs::path kept = session.run_dir / lanes_file;
  int64_t lanes = config.train.lanes > 0 ? config.train.lanes : default_lanes(std::max(2, ranks));
  if (config.train.lanes == 0 && fs::exists(kept)) {
    const std::string text = read_file(kept);
    if (std::from_chars(text.data(), text.data() + text.size(), lanes).ec != std::errc() || lanes < 1)
      user_error("{}: expected the number of lanes that the run began with", kept.string());
  }
  if (ranks > lanes)
    user_error(
        "{} ranks cannot share {} lanes{}: start at most {} ranks, or set train.lanes (that makes other bits, "
        "so "
        "also run.variant)",
        ranks, lanes, config.train.lanes == 0 ? ", which this run began with" : " (train.lanes)", lanes);
  return lanes;
}

void keep_lanes(const PretrainJob& job) {
  write_file_atomic(job.session.run_dir / lanes_file, std::to_string(job.recipe.phase.step.lanes) + "\n");
}

}  // namespace gaggle
