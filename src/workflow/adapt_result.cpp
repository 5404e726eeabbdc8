// What an item of gaggle adapt came to, kept as one JSON file.
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "workflow/adapt.h"

namespace gaggle {

void write_adapt_result(const AdaptJob& job, const AdaptItem& item, const AdaptScore& result) {
  nlohmann::ordered_json json = {
      {"format", 1}, {"key", item.key}, {"name", item.name}, {"task", job.tasks[item.task].name}};
  if (item.recipe) {
    json["method"] = method_name(item.recipe->method);
    json["shots"] = item.shots;
    json["seed"] = item.recipe->seed;
    json["trained_values"] = item.recipe->trained();
    json["stored"] = result.stored;
  }
  json["split"] = split_names[static_cast<size_t>(job.split)];
  const Score& score = result.score;
  json["score"] = {{"examples", score.examples},
                   {"target_tokens", score.tokens},
                   {"nll", score.nll},
                   {"predicted", score.predicted},
                   {"points", score.points}};
  write_file_atomic(result_path(job.folder(), item.key), json.dump(2) + "\n");
}

std::optional<AdaptScore> read_adapt_result(const AdaptJob& job, const AdaptItem& item) {
  const auto path = result_path(job.folder(), item.key);
  if (!fs::exists(path)) return std::nullopt;
  try {
    const auto json = parse_json(read_file(path));
    const auto& score = json.at("score");
    AdaptScore result;
    if (item.recipe) result.stored = json.at("stored");
    // A number that is not finite became null: JSON has no others.
    result.score.nll =
        score.at("nll").is_null() ? std::numeric_limits<double>::infinity() : score.at("nll").get<double>();
    result.score.tokens = score.at("target_tokens");
    result.score.examples = score.at("examples");
    result.score.predicted = score.at("predicted");
    result.score.points = score.contains("points") ? score.at("points") : score.at("correct");  // of earlier gaggles
    return result;
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: not a result of this program ({}): delete it, and it will be made again", path.string(),
               error.what());
  }
}

}  // namespace gaggle
