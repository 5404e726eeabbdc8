// Tasks that never meet: every expert leaves a sketch of its task's gradient at the start that all experts
// share, and the job's first rank compares them.
#pragma once

#include "app/expert_job.h"

namespace gaggle {

// Of alignment.examples training rows, into the registry's work/reports/; does nothing where the item's own is
// there or alignment.examples is 0. Needs as long as a step of so many rows.
void leave_sketch(const ExpertJob& job, const ExpertItem& item, const std::filesystem::path& registry);

// The similarity of the job's tasks as text, and as alignment/experts.safetensors in the run folder; "" where
// fewer than two of them left a sketch of these settings.
std::string compare_sketches(const ExpertJob& job, const std::filesystem::path& registry);

}  // namespace gaggle
