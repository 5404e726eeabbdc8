// gaggle prepare: what the methods of eval.methods need to know of a collection's experts and their tasks beforehand.
#pragma once

#include <map>
#include <string>

#include "job/start.h"

namespace gaggle {

// Lists what the methods need, prints the plan and, unless it is a dry run, makes what is missing (library/prepared.h).
// `tasks`: by expert. Collective. Throws UserError where no method needs anything, and where an expert has no task.
Exit run_prepare(const JobContext& context, const std::map<std::string, TokenTask>& tasks);

}  // namespace gaggle
