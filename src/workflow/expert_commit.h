// A trained expert as a version of the registry.
#pragma once

#include "train/expert.h"
#include "workflow/experts.h"

namespace gaggle {

// Returns the version. Nothing that is written differs between two runs of one recipe.
std::string commit_expert(const ExpertJob& job, Registry& registry, const ExpertItem& item,
                          const ExpertResult& result);

}  // namespace gaggle
