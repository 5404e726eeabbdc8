#include "train/idle_passes.h"

#include <algorithm>

namespace gaggle {

int64_t idle_passes(const BaseModel& base, Communicator& group, int64_t own) {
  if (!base.shards()) return 0;
  const std::vector<int64_t> all = gather_values(group, own);
  return *std::ranges::max_element(all) - own;
}

Microbatch idle_batch(const Sample& sample) { return make_microbatches({&sample, 1}, 1, {0.0f}).at(0); }

}  // namespace gaggle
