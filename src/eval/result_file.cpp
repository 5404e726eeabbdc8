// An item's result as JSON. Numbers that are not finite become null (JSON has no others) and come back as NaN.
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "eval/items.h"

namespace gaggle {

std::filesystem::path result_path(const std::filesystem::path& folder, const std::string& key) {
  return folder / "items" / (key + ".json");
}

std::string result_text(const EvalContext& context, const EvalItem& item, const ItemResult& result) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const RowResult& row : result.rows) {
    nlohmann::ordered_json nll = nlohmann::ordered_json::array(), tokens = nlohmann::ordered_json::array();
    for (const ContinuationScore& score : row.scores) {
      nll.push_back(score.nll);
      tokens.push_back(score.tokens);
    }
    rows.push_back({{"id", row.id},
                    {"nll", nll},
                    {"tokens", tokens},
                    {"choices", row.choices},
                    {"target", row.target},
                    {"target_text", row.target_text},
                    {"prediction", row.prediction},
                    {"predicted", row.predicted},
                    {"correct", row.correct}});
  }
  const nlohmann::ordered_json json = {{"format", 1},
                                       {"method", settings_of(item.method, context.config)},
                                       {"task", context.tasks[item.task].name},
                                       {"split", split_names[static_cast<size_t>(context.split)]},
                                       {"first", item.first},
                                       {"rows", rows},
                                       {"weight_by_expert", result.weight_by_expert}};
  // Generated text may end inside a character.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

ItemResult read_result(const std::filesystem::path& path) {
  try {
    const auto json = nlohmann::json::parse(read_file(path));
    ItemResult result;
    for (const auto& row : json.at("rows")) {
      RowResult& out = result.rows.emplace_back();
      out.id = row.at("id");
      for (size_t c = 0; c < row.at("nll").size(); ++c) {
        const auto& nll = row.at("nll")[c];
        out.scores.push_back({nll.is_null() ? std::numeric_limits<double>::quiet_NaN() : nll.get<double>(),
                              row.at("tokens").at(c).get<int64_t>()});
      }
      out.choices = row.at("choices").get<std::vector<std::string>>();
      out.target = row.at("target");
      out.target_text = row.at("target_text");
      out.prediction = row.at("prediction");
      out.predicted = row.at("predicted");
      out.correct = row.at("correct");
    }
    result.weight_by_expert = json.at("weight_by_expert").get<std::vector<double>>();
    return result;
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: not a result of this program ({}): delete it, and it will be made again", path.string(),
               error.what());
  }
}

}  // namespace gaggle
