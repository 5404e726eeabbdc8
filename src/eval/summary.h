// What all items came to: scores by method and task, tables for people, files for machines.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "eval/items.h"

namespace gaggle {

// One method on one task (or on a mix of tasks).
struct Score {
  double nll = 0;  // Σ over target tokens; infinite where one score is not finite, and so is what follows from it
  int64_t tokens = 0, examples = 0;
  int64_t predicted = 0, correct = 0;
  double nll_per_token() const;  // NaN without examples
  double accuracy() const;       // share of `predicted`; NaN where nothing was predicted
};

Score score_of(const std::vector<ExampleResult>& examples);

// What was evaluated: results.json says it, and no evaluation of something else is written over it.
struct Evaluated {
  std::string collection;     // "all@v0001"; "": no method needs one
  std::string base, content;  // its name and the digest of its contents
  bool operator==(const Evaluated&) const = default;
};
// The end of the names of results.json and predictions.jsonl in `folder`: "" where they are of this or not there yet,
// else "-all@v0002-3f0c2a91".
std::string ending_of_names(const std::filesystem::path& folder, const Evaluated& evaluated);

struct Summary {
  Evaluated evaluated;
  std::vector<std::string> methods, tasks;
  std::vector<std::string> metrics;                     // [tasks]
  std::vector<bool> held_in;                            // [tasks] see held_in()
  std::vector<std::string> inventories;                 // [methods] "mhr-demo@v0001"; "": of none
  std::vector<std::vector<Score>> scores;               // [methods][tasks]
  std::vector<std::vector<std::string>> oracle_expert;  // as scores; "": not oracle
  std::vector<std::vector<double>> expert_share;        // [methods][experts] of routing weight; empty: not routed
  std::vector<std::string> experts;
  std::vector<std::string> missing;  // items without a result, for people
};

// Reads the result files in `folder` and writes a line for each example to `predictions` on the way. The oracle of a task
// without an expert of its own is the expert with the best score on these very examples.
Summary summarise(const EvalContext& context, const std::vector<Method>& methods, const std::vector<EvalItem>& items,
                  const std::filesystem::path& folder, const std::filesystem::path& predictions);

Score mixed(const Summary& summary, size_t method, bool held_in);  // all examples of the group together

std::string cell_text(double value, int digits);    // of a table; "-" for NaN
std::string summary_block(const Summary& summary);  // for the terminal
// Each expert's share of the routing weight, the largest first. `weight`: of RoutedAdapter::weight_by_expert.
std::string shares_block(const RoutedCollection& collection, const std::vector<double>& weight);
std::string summary_json(const Summary& summary);  // results.json

}  // namespace gaggle
