// --dry-run of a model folder that has config.json but no weights: what the run would cost on GPUs that are
// elsewhere, from shapes and [plan]'s assumptions alone.
#pragma once

#include <string>

#include "job/job.h"

namespace gaggle {

// Whether that is what was asked for: a dry run, and there are no weights.
bool asks_for_cost_alone(const Config& config, const JobOptions& options);

std::string experts_cost_block(const Config& config);
std::string pretrain_cost_block(const Config& config);

}  // namespace gaggle
