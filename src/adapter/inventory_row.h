// A stored row (MHR-z) over its parent's skills.
#pragma once

#include "adapter/inventory.h"
#include "registry/rows.h"

namespace gaggle {

// The parent with the row in place of its table: spec.tasks = 1, tasks = {row.task}; all else is the parent's.
// Throws UserError naming the row's file where its tensors are not those of the parent's routers, [1, h·K].
Inventory with_row(const Inventory& parent, const StoredRow& row);

}  // namespace gaggle
