#include "job/shared_base.h"

#include <algorithm>

#include "base/error.h"

namespace gaggle {
namespace {

at::Tensor tensor_over(std::span<const std::byte> bytes, at::Device device) {
  return at::for_blob(const_cast<std::byte*>(bytes.data()), {static_cast<int64_t>(bytes.size())})
      .options(at::TensorOptions(device).dtype(at::kByte))
      .target_device(device)
      .make_tensor();
}

using Gather = std::function<void(std::span<const std::byte>, std::span<std::byte>)>;

// From GPU to GPU where the ranks are connected so, else through the hosts' memory.
Gather gather_over(const std::shared_ptr<Communicator>& ranks, at::Device device) {
  Communicator* path = device.is_cpu() ? ranks.get() : ranks->device();
  if (path)
    return [ranks, path](std::span<const std::byte> mine, std::span<std::byte> all) { path->all_gather(mine, all); };
  return [ranks, device](std::span<const std::byte> mine, std::span<std::byte> all) {
    const at::Tensor own = tensor_over(mine, device).cpu();
    std::vector<std::byte> everybodys(all.size());
    ranks->all_gather({static_cast<const std::byte*>(own.const_data_ptr()), mine.size()}, everybodys);
    tensor_over(all, device).copy_(tensor_over(everybodys, at::kCPU));
  };
}

}  // namespace

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
  return {part->rank(), part->size(), gather_over(part, session.device)};
}

}  // namespace gaggle
