// An analysis as JSON: what an item leaves, and analysis.json. Numbers that are not finite become null.
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "eval/analysis.h"

namespace gaggle {
namespace {

using Json = nlohmann::ordered_json;

Json sums_json(const WeightSums& sums) { return {{"tokens", sums.tokens}, {"weight", sums.weight}}; }

void read_sums(const Json& json, WeightSums& sums) {
  sums.tokens = json.at("tokens");
  for (const auto& weight : json.at("weight")) sums.weight.push_back(number_or_nan(weight));
}

// Tokens and their mean weights, [N]; null where there are no tokens.
Json mean_json(const WeightSums& sums) {
  Json weights;
  for (const double weight : sums.weight)
    if (sums.tokens > 0) weights.push_back(weight / static_cast<double>(sums.tokens));
  return {{"tokens", sums.tokens}, {"weights", weights}};
}

template <size_t N>
Json kinds_json(const std::array<WeightSums, N>& kinds, const std::array<const char*, N>& names) {
  Json json;
  for (size_t i = 0; i < N; ++i) json[names[i]] = mean_json(kinds[i]);
  return json;
}

Json by_sites_json(const BySites& values) {
  return {{"mean", values.mean}, {"by_layer", values.by_layer}, {"by_site", values.by_site}};
}

Json task_json(const Analysis& analysis, const MethodRouting& method, size_t task) {
  const RoutedExamples& routed = *method.tasks[task];
  const int own = analysis.own(task);
  const RoutingMeasures measures = measures_of(routed.sums, analysis.sites, own);
  Json json = {{"examples", routed.examples},
               {"target_tokens", routed.target_tokens},
               {"nll_per_token", routed.nll_per_token()},
               {"share_of_routing_weight", measures.share}};
  for (const auto& weights : measures.weights) json["weights"].push_back(weights.empty() ? Json() : Json(weights));
  json["entropy"] = by_sites_json(measures.entropy);
  json["token_entropy"] = by_sites_json(measures.token_entropy);
  json["own_first"] = own < 0 ? Json() : by_sites_json(measures.own_first);
  json["oracle_divergence"] = own < 0 ? Json() : by_sites_json(measures.oracle_divergence);
  json["by_class"] = kinds_json(routed.sums.classes, token_class_names);
  json["by_part"] = kinds_json(routed.sums.parts, token_part_names);
  json["texts"] = routed.texts;
  if (method.without.empty()) return json;
  for (const auto& of_expert : method.without) {
    json["knock_out"]["nll_per_token"].push_back(of_expert[task]);
    json["knock_out"]["cost"].push_back(of_expert[task] - routed.nll_per_token());
  }
  return json;
}

Json method_json(const Analysis& analysis, const MethodRouting& method) {
  Json json = {{"tasks", Json::object()}, {"divergence", Json::array()}};
  RoutingSums all;
  for (size_t t = 0; t < method.tasks.size(); ++t) {
    const auto& routed = method.tasks[t];
    json["tasks"][analysis.tasks[t]] = routed ? task_json(analysis, method, t) : Json();
    if (routed) add(all, routed->sums);
    Json& row = json["divergence"].emplace_back(Json::array());
    for (const auto& other : method.tasks)
      row.push_back(routed && other ? Json(divergence(routed->sums, other->sums)) : Json());
  }
  json["by_class"] = kinds_json(all.classes, token_class_names);
  json["by_part"] = kinds_json(all.parts, token_part_names);
  return json;
}

}  // namespace

Json text_json(const std::string& id, const std::vector<RoutedToken>& tokens) {
  Json text = {{"id", id}};
  for (const char* column : {"tokens", "class", "part", "first", "weight", "second", "second_weight"})
    text[column] = Json::array();
  const auto expert = [](int number) { return number < 0 ? Json() : Json(number); };
  const auto rounded = [](double weight) { return std::round(weight * 1e4) / 1e4; };
  for (const RoutedToken& token : tokens) {
    text["tokens"].push_back(token.text);
    text["class"].push_back(static_cast<int>(token.kind));
    text["part"].push_back(static_cast<int>(token.part));
    text["first"].push_back(expert(token.first));
    text["weight"].push_back(rounded(token.weight));
    text["second"].push_back(expert(token.second));
    text["second_weight"].push_back(rounded(token.second_weight));
  }
  return text;
}

std::string routed_json(const RoutedExamples& routed) {
  Json json = {{"examples", routed.examples}, {"target_tokens", routed.target_tokens}, {"nll", routed.nll}};
  for (const SiteSums& site : routed.sums.sites) {
    Json& of_site = json["sites"].emplace_back(sums_json(site));
    of_site["entropy"] = site.entropy;
    of_site["own_first"] = site.own_first;
  }
  for (const WeightSums& sums : routed.sums.classes) json["classes"].push_back(sums_json(sums));
  for (const WeightSums& sums : routed.sums.parts) json["parts"].push_back(sums_json(sums));
  json["texts"] = routed.texts;
  return json.dump() + "\n";
}

RoutedExamples read_routed(const std::filesystem::path& path) {
  try {
    const auto json = parse_json<Json>(read_file(path));
    RoutedExamples routed;
    routed.examples = json.at("examples");
    routed.target_tokens = json.at("target_tokens");
    routed.nll = number_or_nan(json.at("nll"));
    for (const auto& site : json.at("sites")) {
      SiteSums& sums = routed.sums.sites.emplace_back();
      read_sums(site, sums);
      sums.entropy = number_or_nan(site.at("entropy"));
      sums.own_first = site.at("own_first");
    }
    for (size_t c = 0; c < routed.sums.classes.size(); ++c) read_sums(json.at("classes").at(c), routed.sums.classes[c]);
    for (size_t p = 0; p < routed.sums.parts.size(); ++p) read_sums(json.at("parts").at(p), routed.sums.parts[p]);
    routed.texts = json.at("texts");
    return routed;
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: not a result of this program ({}): delete it, and it will be made again", path.string(),
               error.what());
  }
}

std::string analysis_json(const Analysis& analysis) {
  Json json = {{"format", 1}};
  json.update(analysis.of);
  json.update({{"split", analysis.split}, {"experts", analysis.experts}, {"tasks", analysis.tasks}});
  for (const Site& site : analysis.sites)
    json["sites"].push_back({{"name", site.name},
                             {"kind", site.kind},
                             {"layer", site.layer},
                             {"side", site.side == Side::encoder ? "encoder" : "decoder"}});
  json.update({{"classes", token_class_names}, {"parts", token_part_names}});
  json["gate_similarity"] = analysis.gate_similarity;
  json["lora_similarity"] = analysis.lora_similarity;
  json["methods"] = Json::object();
  for (const MethodRouting& method : analysis.methods) json["methods"][method.name] = method_json(analysis, method);
  json["missing"] = analysis.missing;
  return json.dump() + "\n";
}

}  // namespace gaggle
