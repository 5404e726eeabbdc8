#include "job/shared_base.h"

#include <algorithm>

#include "base/error.h"

namespace gaggle {

ShardGroup ranks_of_a_base(const Config& config, const Session& session, int64_t together) {
  const std::string& shard = config.model.shard;
  Communicator& world = *session.world;
  if (shard == "none" || world.size() == 1) return {};
  const std::vector<std::string> hosts = world.all_gather_text(shard == "node" ? session.identity.host : "");
  const auto share = [&](size_t a, size_t b) { return hosts[a] == hosts[b]; };
  const auto one_item = [&](size_t a, size_t b) {
    return together == 0 || a / static_cast<size_t>(together) == b / static_cast<size_t>(together);
  };
  for (size_t a = 0; a < hosts.size(); ++a)
    for (size_t b = 0; b < a; ++b)
      if (share(a, b) && !one_item(a, b))
        user_error(
            "model.shard = \"{}\": ranks {} and {} would hold parts of one base, but work for themselves. Ranks that share a "
            "base make every pass together: set cluster.ranks_per_expert to a multiple of {} (gaggle experts and gates); "
            "gaggle adapt, align, generate and bench go without model.shard",
            shard, b, a, std::ranges::count(hosts, hosts[a]));
  const auto first = std::ranges::find(hosts, hosts[static_cast<size_t>(world.rank())]) - hosts.begin();
  const std::shared_ptr<Communicator> part = world.split(static_cast<int>(first));
  if (part->size() == 1) return {};
  Communicator* memory = session.device.is_cpu() ? nullptr : part->device();
  if (!session.device.is_cpu() && !memory)
    user_error("model.shard = \"{}\": parts of a base travel from GPU to GPU by NCCL, and comm.backend is \"{}\" here",
               shard, part->backend());
  return {part->rank(), part->size(), [part, memory](std::span<const std::byte> mine, std::span<std::byte> all) {
            (memory ? *memory : *part).all_gather(mine, all);
          }};
}

}  // namespace gaggle
