// The block that stands before the first item of `gaggle adapt`: from what, for which tasks, by which methods.
#pragma once

#include "app/adapt_job.h"

namespace gaggle {

// `done`: items that need no work.
std::string adapt_plan_text(const AdaptJob& job, size_t done);

}  // namespace gaggle
