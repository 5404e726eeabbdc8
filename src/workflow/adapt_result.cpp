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
  const RowSums &nll = result.score.nll, &points = result.score.points;
  json["score"] = {{"examples", nll.rows},
                   {"target_tokens", nll.weight},
                   {"nll", nll.value},
                   {"nll_squared", nll.value_squared},
                   {"nll_times_tokens", nll.value_times_weight},
                   {"tokens_squared", nll.weight_squared},
                   {"predicted", points.rows},
                   {"points", points.value},
                   {"points_squared", points.value_squared}};
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
    // A number that is not finite became null: JSON has no others. Earlier gaggles kept no squares: no intervals then.
    const auto number = [&](const char* key) {
      const bool finite = score.contains(key) && !score.at(key).is_null();
      return finite ? score.at(key).get<double>() : std::numeric_limits<double>::infinity();
    };
    result.score.nll = {score.at("examples"),       number("nll"),
                        score.at("target_tokens"),  number("nll_squared"),
                        number("nll_times_tokens"), number("tokens_squared")};
    const double points = number(score.contains("points") ? "points" : "correct");
    const int64_t predicted = score.at("predicted");
    const auto weight = static_cast<double>(predicted);  // each has 1
    result.score.points = {predicted, points, weight, number("points_squared"), points, weight};
    return result;
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: not a result of this program ({}): delete it, and it will be made again", path.string(),
               error.what());
  }
}

}  // namespace gaggle
