// What a run folder remembers of its first start: the recipe, and the number of lanes.
#include <algorithm>
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
constexpr size_t digest_length = 64;

nlohmann::json without_averaging(nlohmann::json recipe) {
  recipe["poly"].erase("average_from");
  return recipe;
}

// "/train/lr" → "train.lr"
std::string dotted(std::string pointer) {
  std::ranges::replace(pointer, '/', '.');
  return pointer.substr(pointer.starts_with('.') ? 1 : 0);
}

std::string value_at(const nlohmann::json& recipe, const std::string& pointer) {
  const nlohmann::json::json_pointer at(pointer);
  return recipe.contains(at) ? recipe.at(at).dump() : "nothing";
}

}  // namespace

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
        "so also run.variant)",
        ranks, lanes, config.train.lanes == 0 ? ", which this run began with" : " (train.lanes)", lanes);
  return lanes;
}

void check_same_recipe(const PretrainJob& job) {
  const fs::path kept = job.run_dir() / recipe_file;
  if (!fs::exists(kept)) return;
  const nlohmann::json kept_recipe = without_averaging(read_json_file(kept)),
                       here = without_averaging(job.recipe.json);
  const nlohmann::json changes = nlohmann::json::diff(kept_recipe, here);
  if (changes.empty()) return;
  // One that a person set, if there is one: digests only follow.
  const auto speaks = [&](const nlohmann::json& change) {
    return value_at(here, change.at("path")).size() < digest_length;
  };
  const auto found = std::ranges::find_if(changes, speaks);
  const std::string first = (found == changes.end() ? changes[0] : *found).at("path");
  user_error(
      "{} is the folder of a run of another recipe: {} was {} and is {} now{}. Set run.variant for a new run, "
      "or remove the folder",
      job.run_dir().string(), dotted(first), value_at(kept_recipe, first), value_at(here, first),
      changes.size() == 1 ? "" : fmt::format(", and {} more", changes.size() - 1));
}

void keep_recipe(const PretrainJob& job) {
  write_file_atomic(job.run_dir() / lanes_file, std::to_string(job.recipe.phase.step.lanes) + "\n");
  write_file_atomic(job.run_dir() / recipe_file, job.recipe.json.dump(1) + "\n");
}

}  // namespace gaggle
