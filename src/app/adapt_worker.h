// A rank's share of `gaggle adapt`: takes items by lease, adapts, scores, commits, until none is left to take.
#pragma once

#include "app/adapt_job.h"
#include "registry/registry.h"

namespace gaggle {

// Whether there is a result, and in the registry what it speaks of.
bool adapt_item_done(const AdaptJob& job, const Registry& registry, const AdaptItem& item);

// Exit::done when there is nothing left to take; the first rank stays until the others are through, too.
Exit work_on_adaptation(const AdaptJob& job, Registry& registry);

}  // namespace gaggle
