// What `gaggle adapt` works on: task × method × shots × seed, and the base alone once per task.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "app/commands.h"
#include "eval/items.h"
#include "job/inputs.h"
#include "job/session.h"
#include "train/adapt.h"

namespace gaggle {

struct AdaptItem {
  std::string name;                   // "copy.z.32.s0", also in the registry; of the base alone "copy.base"
  std::string key;                    // of the recipe and of the rows that are scored
  size_t task = 0;                    // in AdaptJob::tasks
  int64_t shots = 0;                  // 0: all training rows
  std::optional<AdaptRecipe> recipe;  // none: the base alone
  double seconds = 0;                 // expected, of one rank
};

struct AdaptJob {
  const Config& config;
  const CommandOptions& options;
  Session& session;
  BaseModel& base;
  const Tokenizer& tokenizer;
  const std::vector<TokenTask>& tasks;
  Split split = Split::test;
  std::optional<Inventory> from, shared;
  std::vector<AdaptMethod> methods;
  std::vector<AdaptItem> items;
  std::filesystem::path folder;  // runs/NAME/adapt
  double gemm_flops = 0;         // per second, of this rank while all ranks are busy

  AdaptSources sources() const { return {from ? &*from : nullptr, shared ? &*shared : nullptr}; }
  std::vector<uint64_t> seeds() const;  // run.seed, run.seed + 1, …
  // Rows of `split` that are scored: eval.limit_examples of them at most.
  size_t scored_rows(size_t task) const;
};

// "copy.mu-kept.32.s0"; "all" for 0 shots.
std::string item_name(const std::string& task, AdaptMethod method, int64_t shots, uint64_t seed);

// Fills methods and items. Throws UserError: artefacts that are missing or do not serve a method, a task with
// fewer training rows than shots or without rows to score, a name that cannot be a folder's.
void make_adapt_items(AdaptJob& job);
// Fills their seconds, from gemm_flops.
void estimate_adapt_items(AdaptJob& job);

}  // namespace gaggle
