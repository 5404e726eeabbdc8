// What a run folder remembers of its first start: the recipe, and the number of lanes.
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "text/json_file.h"
#include "workflow/pretrain.h"

namespace gaggle {
namespace {

constexpr const char* lanes_file = "lanes";
constexpr const char* recipe_file = "recipe.json";

nlohmann::json without_averaging(nlohmann::json recipe) {
  recipe["poly"].erase("average_from");
  return recipe;
}

}  // namespace

fs::path checkpoints_of(const fs::path& run_dir) { return run_dir / "checkpoints"; }

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
        "so also run.variant)",
        ranks, lanes, config.train.lanes == 0 ? ", which this run began with" : " (train.lanes)", lanes);
  return lanes;
}

void check_same_recipe(const PretrainJob& job) {
  const fs::path kept = job.run_dir() / recipe_file;
  if (!fs::exists(kept)) return;
  const std::string changes =
      difference_text(without_averaging(read_json_file(kept)), without_averaging(job.recipe.json));
  if (!changes.empty())
    user_error("{} is the folder of a run of another recipe: {}. Set run.variant for a new run, or remove the folder",
               job.run_dir().string(), changes);
}

void keep_recipe(const PretrainJob& job) {
  write_file_atomic(job.run_dir() / lanes_file, std::to_string(job.recipe.phase.step.lanes) + "\n");
  write_file_atomic(job.run_dir() / recipe_file, job.recipe.json.dump(1) + "\n");
}

}  // namespace gaggle
