// A trained expert as a version of the registry.
#pragma once

#include "workflow/experts.h"
#include "train/expert.h"

namespace gaggle {

// Returns the version. Nothing that is written differs between two runs of one recipe.
std::string commit_expert(const ExpertJob& job, Registry& registry, const ExpertItem& item,
                          const ExpertResult& result);

// What sidecars say of the base.
nlohmann::json base_json(const BaseModel& base);
// registry.dtype.
DType stored_dtype(const std::string& text);

}  // namespace gaggle
