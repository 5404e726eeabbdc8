// The end of `gaggle adapt`: one table over tasks and methods, one over methods, results.json.
#pragma once

#include "app/adapt_job.h"

namespace gaggle {

// Reads every item's result, prints the tables, writes results.json. Exit::some_set_aside where a result is
// missing; what they are is said.
Exit conclude_adaptation(const AdaptJob& job);

}  // namespace gaggle
