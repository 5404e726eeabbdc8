// gaggle eval: methods × tasks, scored by items of some examples each, then one table.
#pragma once

#include "eval/items.h"
#include "job/start.h"
#include "workflow/eval_sources.h"

namespace gaggle {

// Lists the items, prints the plan and, unless it is a dry run, scores what is missing and prints the tables.
// Collective.
Exit run_evaluation(const JobContext& context, const EvalSources& sources, const Tokenizer& tokenizer,
                    const std::vector<TokenTask>& tasks, Split split);

}  // namespace gaggle
