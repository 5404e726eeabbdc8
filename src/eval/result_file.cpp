// An item's result as JSON. Numbers that are not finite become null (JSON has no others) and come back as NaN.
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "eval/items.h"

namespace gaggle {
namespace {

// Results of earlier gaggles say "correct" of rank classification by tokens and of exact matches, the two there were.
void read_verdict(const nlohmann::json& example, ExampleResult& out) {
  if (example.contains("correct")) {
    out.score = example.at("correct").get<bool>() ? 1 : 0;
    if (!out.choices.empty() && out.finite())
      for (const ContinuationScore& score : out.scores) out.choice_scores.push_back(score.mean());
    return;
  }
  out.score = example.at("score");
  for (const auto& score : example.at("choice_scores")) out.choice_scores.push_back(number_or_nan(score));
}

}  // namespace

std::filesystem::path result_path(const std::filesystem::path& folder, const std::string& key) {
  return folder / "items" / (key + ".json");
}

std::string result_json(const EvalContext& context, const EvalItem& item, const ItemResult& result) {
  nlohmann::ordered_json examples = nlohmann::ordered_json::array();
  for (const ExampleResult& example : result.examples) {
    nlohmann::ordered_json nll = nlohmann::ordered_json::array(), tokens = nlohmann::ordered_json::array();
    for (const ContinuationScore& score : example.scores) {
      nll.push_back(score.nll);
      tokens.push_back(score.tokens);
    }
    examples.push_back({{"id", example.id},
                        {"nll", nll},
                        {"tokens", tokens},
                        {"choices", example.choices},
                        {"choice_scores", example.choice_scores},
                        {"target", example.target},
                        {"target_text", example.target_text},
                        {"prediction", example.prediction},
                        {"predicted", example.predicted},
                        {"score", example.score}});
  }
  const nlohmann::ordered_json json = {{"format", 1},
                                       {"method", settings_of(item.method, context.collection, context.prepared,
                                                              context.seed, scored_task(context.tasks[item.task]))},
                                       {"task", context.tasks[item.task].name},
                                       {"split", split_names[static_cast<size_t>(context.split)]},
                                       {"first", item.first},
                                       {"examples", examples},
                                       {"weight_by_expert", result.weight_by_expert}};
  // Generated text may end inside a character.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

ItemResult read_result(const std::filesystem::path& path) {
  try {
    const auto json = parse_json(read_file(path));
    ItemResult result;
    for (const auto& example : json.at("examples")) {
      ExampleResult& out = result.examples.emplace_back();
      out.id = example.at("id");
      for (size_t c = 0; c < example.at("nll").size(); ++c)
        out.scores.push_back({number_or_nan(example.at("nll")[c]), example.at("tokens").at(c).get<int64_t>()});
      out.choices = example.at("choices").get<std::vector<std::string>>();
      out.target = example.at("target");
      out.target_text = example.at("target_text");
      out.prediction = example.at("prediction");
      out.predicted = example.at("predicted");
      read_verdict(example, out);
    }
    for (const auto& weight : json.at("weight_by_expert")) result.weight_by_expert.push_back(number_or_nan(weight));
    return result;
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: not a result of this program ({}): delete it, and it will be made again", path.string(),
               error.what());
  }
}

}  // namespace gaggle
