// gaggle analyse: what routing methods choose on each task, as items; then analysis.json.
#pragma once

#include "job/start.h"
#include "text/tokenizer.h"
#include "workflow/eval_sources.h"

namespace gaggle {

struct AnalyseOptions {
  int64_t texts = 3;       // of each task, token by token
  bool knock_out = false;  // every method scored once more without each expert
};

// eval.methods without those that do not choose experts by scores. Throws UserError: none is left.
Config with_routed_methods(const Config& config);

// Lists the items, prints the plan and, unless it is a dry run, makes what is missing, writes analysis.json and prints the
// block for people. `sources`: of routed methods alone, with every expert read where one is to be knocked out. Collective.
Exit run_analysis(const JobContext& context, const EvalSources& sources, const Tokenizer& tokenizer,
                  std::vector<TokenTask> tasks, Split split, const AnalyseOptions& options);

}  // namespace gaggle
