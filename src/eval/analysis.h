// How a method routes the examples of each task: entropies, the task's own expert, tasks beside each other, kinds of tokens.
// analysis.json and a block for people. docs/evaluation.md has every number's definition.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/page.h"
#include "eval/routing_watch.h"

namespace gaggle {

// One method on some examples of a task, or on all.
struct RoutedExamples {
  int64_t examples = 0, target_tokens = 0;
  double nll = 0;  // Σ over target tokens, nats
  RoutingSums sums;
  nlohmann::ordered_json texts = nlohmann::ordered_json::array();  // of the first examples, text_json() each
  double nll_per_token() const;                                    // NaN without targets
};
void add(RoutedExamples& to, const RoutedExamples& more);
// Token by token as columns; experts, classes and parts by number, weights rounded to four digits.
nlohmann::ordered_json text_json(const std::string& id, const std::vector<RoutedToken>& tokens);

// What an item of an analysis leaves, and how it comes back. Throws UserError naming the file.
std::string routed_json(const RoutedExamples& routed);
RoutedExamples read_routed(const std::filesystem::path& path);

// A number of each site, with its means over the sites of a layer and over all; NaN where there is none.
struct BySites {
  double mean = 0;
  std::vector<double> by_layer, by_site;
};

struct RoutingMeasures {
  std::vector<std::vector<double>> weights;  // [sites][N] mean over tokens; empty where nothing is routed
  std::vector<double> share;                 // [N] of all routing weight
  BySites entropy;                           // of the mean weights, nats
  BySites token_entropy;                     // mean of single tokens' entropies, nats
  BySites own_first;                         // share of tokens whose first choice is the task's own expert
  BySites oracle_divergence;                 // KL of the own expert alone from the mean weights, nats
};
// `own`: the task's own expert; -1: it has none.
RoutingMeasures measures_of(const RoutingSums& sums, const std::vector<Site>& sites, int own);

// Of the uniform distribution in what is compared by KL, so that it is finite: q = (1 - smoothing) p + smoothing / N.
inline constexpr double smoothing = 1e-6;
// KL(a ‖ b) = Σ_z q_az ln(q_az / q_bz) of the mean weights at a site, over their sum, averaged over the sites where both have
// weight; nats. NaN where there is none.
double divergence(const RoutingSums& a, const RoutingSums& b);

struct MethodRouting {
  std::string name;
  std::vector<std::optional<RoutedExamples>> tasks;  // [tasks]; null: some of it has no result
  std::vector<std::vector<double>> without;          // [N][tasks] nll per token with one left out; empty: not asked for
};

struct Analysis {
  nlohmann::ordered_json of;  // results_of()
  std::string split;
  std::vector<std::string> experts, tasks;
  std::vector<Site> sites;
  nlohmann::ordered_json gate_similarity, lora_similarity;  // [N][N]; null: no result
  std::vector<MethodRouting> methods;
  std::vector<std::string> missing;  // items without a result, for people

  int own(size_t task) const;  // the expert of the task's name; -1: there is none
};

std::string analysis_json(const Analysis& analysis);  // analysis.json
Page analysis_page(const Analysis& analysis);

}  // namespace gaggle
