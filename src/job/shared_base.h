// Which ranks hold a base together (model.shard).
#pragma once

#include "job/session.h"
#include "model/weight_shards.h"

namespace gaggle {

// The ranks that share this rank's base: with "world" all, with "node" those of its host; alone where there are no others.
// `together`: neighbouring ranks that do everything together; 0: all. Throws UserError where some of those that would share a
// base go ways of their own. Collective.
ShardGroup ranks_of_a_base(const Config& config, const Session& session, int64_t together);

}  // namespace gaggle
