// An adapted task as a version of the registry: z a routing row, full and random an inventory of one
// task, the others a plain LoRA in experts/.
#pragma once

#include <string>

#include "workflow/adapt.h"

namespace gaggle {

Kind stored_kind(const AdaptRecipe& recipe);

// Returns the version.
// Nothing that is written differs between two runs of one recipe.
std::string commit_adapted(const AdaptJob& job, Registry& registry, const AdaptItem& item,
                           const AdaptedValues& adapted);

}  // namespace gaggle
