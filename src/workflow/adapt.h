// gaggle adapt: a pretrained skill inventory taken to new tasks: task × method × shots × seed, and the base
// alone once per task, each trained, scored and stored, then one table.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "eval/items.h"
#include "eval/summary.h"
#include "job/plan.h"
#include "job/start.h"
#include "train/adapt.h"

namespace gaggle {

struct AdaptItem {
  std::string name;                   // "copy.z.32.s0", also in the registry; of the base alone "copy.base"
  std::string key;                    // of the recipe and of the examples that are scored
  size_t task = 0;                    // in AdaptJob::tasks
  int64_t shots = 0;                  // 0: all training examples
  std::optional<AdaptRecipe> recipe;  // none: the base alone
};

struct AdaptJob {
  const JobContext& context;
  const Tokenizer& tokenizer;
  const std::vector<TokenTask>& tasks;
  Split split = Split::test;
  std::optional<Inventory> from = {}, shared = {};
  std::vector<AdaptMethod> methods = {};
  std::vector<AdaptItem> items = {};

  const Config& config() const { return context.config; }
  std::filesystem::path folder() const { return context.session.run_dir / "adapt"; }
  AdaptSources sources() const { return {from ? &*from : nullptr, shared ? &*shared : nullptr}; }
  std::vector<uint64_t> seeds() const;  // run.seed, run.seed + 1, …
  // Examples of `split` that are scored: eval.limit_examples of them at most.
  size_t scored_examples(size_t task) const;
};

// Loads the inventories, lists the items, prints the plan and, unless it is a dry run, works on them and prints
// the closing tables. Collective. Throws UserError: inventories that are missing or do not serve a method, a
// task with fewer training examples than shots or without examples to score, a name that cannot be a folder's.
Exit run_adaptation(AdaptJob job);

std::string shots_text(int64_t shots);  // "all" for 0

// Parts of it. Fills methods and items.
void list_adapt_items(AdaptJob& job);
// What is scored of an item, as `gaggle eval` would.
EvalContext scoring_of(const AdaptJob& job, const RoutedCollection& no_experts);
EvalItem scored_item(const AdaptJob& job, const AdaptItem& item);
// Expected FLOP of training, then of scoring.
PhaseCosts adapt_flops(const AdaptJob& job, const AdaptItem& item, const EvalContext& scoring);
ItemWork adapt_work(const AdaptJob& job, const AdaptItem& item, const EvalContext& scoring);
// FLOP per second of short steps and of some examples scored, which come to about `flops`.
double adapt_rate(const AdaptJob& job, const AdaptItem& item, const EvalContext& scoring, double flops);
JobPlan adapt_plan(const AdaptJob& job);
// Trains the item, scores what the task will be served with; the commit stores both.
Commit adapt_item(const AdaptJob& job, const AdaptItem& item, const EvalContext& scoring, Registry& registry,
                  Attempt& attempt);
// Reads every item's result, writes results.json and returns the tables over tasks and over methods.
Page adapt_closing_page(const AdaptJob& job);

// What an item came to, one JSON file that is there whole or not at all and holds nothing that differs between
// two runs.
struct AdaptScore {
  std::string stored;  // "routing_rows/copy.z.32.s0@v0001"; "": the base alone
  Score score;
};
void write_adapt_result(const AdaptJob& job, const AdaptItem& item, const AdaptScore& result);
// nullopt: it is not there. Throws UserError for a file that is no result.
std::optional<AdaptScore> read_adapt_result(const AdaptJob& job, const AdaptItem& item);

}  // namespace gaggle
