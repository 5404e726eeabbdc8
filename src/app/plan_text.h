// The block that stands before step 0: the whole truth about what a training run will do.
#pragma once

#include "app/expert_job.h"

namespace gaggle {

std::string plan_text(const ExpertJob& job);
// What --dry-run adds: every expert with its rows, steps, epochs, expected time.
std::string dry_run_text(const ExpertJob& job);

}  // namespace gaggle
