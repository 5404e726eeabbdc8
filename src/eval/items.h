// Evaluation as work items: method × examples of a task, each with a result file that is there whole or not at all.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/tokens.h"
#include "eval/method.h"
#include "eval/routing_of.h"
#include "eval/score.h"
#include "text/tokenizer.h"

namespace gaggle {

struct EvalItem {
  std::string key;  // of everything that changes the result
  Method method;
  size_t task = 0;             // in the list of tasks
  size_t first = 0, last = 0;  // examples [first, last) of the split
};

// What one example came to.
struct ExampleResult {
  std::string id;
  std::vector<ContinuationScore> scores;  // of the choices, or of the target alone
  std::vector<std::string> choices;       // their texts; empty: the target alone
  std::vector<double> choice_scores;      // what was made of `scores` for the decision: the smallest wins
  size_t target = 0;                      // which of `scores` is the target's
  std::string target_text;
  std::string prediction;  // text of the best choice or what was generated; see `predicted`
  bool predicted = false;
  double score = 0;     // what the metric says of the prediction, from 0 to 1; of right or wrong 1 or 0
  bool finite() const;  // all of its scores and choice_scores are; if not, nothing is predicted, and `prediction` is ""
};

struct ItemResult {
  std::vector<ExampleResult> examples;
  std::vector<double> weight_by_expert;  // Σ of routing weight over tokens and sites; empty: not routed by token
};

inline const PreparedExperts nothing_prepared{};

struct EvalContext {
  const EvalConfig& eval;
  uint64_t seed = 0;         // run.seed
  int64_t token_budget = 0;  // of a pass over the base: train.tokens_per_microbatch
  BaseModel& base;
  const RoutedCollection& collection;
  const Tokenizer& tokenizer;
  const std::vector<TokenTask>& tasks;
  Split split = Split::test;
  std::string pins;  // the experts' pinned names
  const PreparedExperts& prepared = nothing_prepared;
};

// Held-in: an expert of the collection, or the skills that one of the methods mixes, were trained on the task.
bool held_in(const EvalContext& context, const std::vector<Method>& methods, const std::string& task);

// Items of the methods on every task; oracle stands for single experts: the task's own if there is one, else
// all on the others. None where a method does not serve a task. No item twice.
std::vector<EvalItem> make_items(const EvalContext& context, const std::vector<Method>& methods);
// The items of one method and task, in the order of the examples.
std::vector<const EvalItem*> items_of(const std::vector<EvalItem>& items, const std::string& method, size_t task);

// Rank classification where the metric is accuracy and the example has choices, generation where it is of what is
// generated (is_of_generated), and the target's NLL in every case. `adapter` may be null, and is not asked where not_finite_in says
// why: all scores are NaN then.
ItemResult run_item(const EvalContext& context, const EvalItem& item, RoutedAdapter* adapter,
                    const std::function<void()>& between);

std::string result_json(const EvalContext& context, const EvalItem& item, const ItemResult& result);
ItemResult read_result(const std::filesystem::path& path);
std::filesystem::path result_path(const std::filesystem::path& folder, const std::string& key);

}  // namespace gaggle
