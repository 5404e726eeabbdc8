// What all items came to: scores by method and task, tables for people, files for machines.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/page.h"
#include "eval/intervals.h"
#include "eval/items.h"

namespace gaggle {

// One method on one task (or on a mix of tasks).
struct Score {
  RowSums nll;     // NLL and target tokens; infinite where one score is not finite, and so is what follows from it
  RowSums points;  // of the examples that were predicted: their scores; of right or wrong, how many are right
  double nll_per_token() const { return nll.mean(); }  // NaN without examples
  double mean_score() const;                           // from 0 to 1; NaN where nothing was predicted
  ConfidenceInterval nll_interval() const { return interval_of(nll); }
  ConfidenceInterval score_interval(bool counted) const;  // `counted`: every score is right or wrong
  Score& operator+=(const Score& other);
};

Score score_of(const std::vector<ExampleResult>& examples);

// What results are of, as results.json says it and so that none of something else are written over them: `pins` by
// their role ({"collection": "all@v0001"}; "" or null where there is none), and the base with the digest of its
// contents.
nlohmann::ordered_json results_of(nlohmann::ordered_json pins, const std::string& base, const std::string& content);
// The end of the names of results.json (or another `file` that says what it is of) and of what lies beside it in `folder`:
// "" where they are of this or not there yet, else "-all@v0002-3f0c2a91".
std::string ending_of_names(const std::filesystem::path& folder, const nlohmann::ordered_json& results_of,
                            const char* file = "results.json");

struct Summary {
  nlohmann::ordered_json results_of = nlohmann::ordered_json::object();
  std::vector<std::string> methods, tasks;
  std::vector<std::string> metrics;                     // [tasks]
  std::vector<std::string> groups;                      // [tasks] whose template it is; "": of none
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

Score mixed(const Summary& summary, size_t method, bool held_in);  // all examples of held-in or held-out tasks together

std::vector<size_t> tasks_of(const Summary& summary, bool held_in);
bool all_count_right(const Summary& summary, const std::vector<size_t>& tasks);  // none of their metrics is a share

// A dataset and the tasks that are its templates, in the order of the tasks.
struct TemplateGroup {
  std::string name;
  std::vector<size_t> tasks;
};
std::vector<TemplateGroup> template_groups(const Summary& summary);  // in name order
// Of the templates' mean scores; NaN where one of them has none.
struct OverTemplates {
  double mean = 0, median = 0;
};
OverTemplates over_templates(const Summary& summary, size_t method, const TemplateGroup& group);

double median_of(std::vector<double> values);  // of an even number the mean of the two in the middle; not empty

std::string cell_text(double value, int digits);  // of a table; "-" for NaN
Page summary_page(const Summary& summary);
// Each expert's share of the routing weight, the largest first. `weight`: of RoutedAdapter::weight_by_expert.
std::string shares_block(const RoutedCollection& collection, const std::vector<double>& weight);
std::string summary_json(const Summary& summary);  // results.json

}  // namespace gaggle
