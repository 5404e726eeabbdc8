#include "train/pack_snapshot.h"

#include <algorithm>

namespace gaggle {
namespace {

constexpr const char* members_key = "members";

}  // namespace

Snapshot joined(std::vector<KeyedSnapshot> parts) {
  if (parts.size() == 1 && parts[0].key.empty()) return std::move(parts[0].snapshot);
  Snapshot pack;
  pack.phase = parts[0].snapshot.phase;
  for (KeyedSnapshot& part : parts) {
    pack.step = std::max(pack.step, part.snapshot.step);
    for (auto& [name, tensor] : part.snapshot.tensors) pack.tensors[part.key + "/" + name] = std::move(tensor);
    pack.state[members_key][part.key] = {{"step", part.snapshot.step}, {"state", std::move(part.snapshot.state)}};
  }
  return pack;
}

std::optional<Snapshot> part_of(const Snapshot& pack, const std::string& key) {
  if (key.empty()) return pack;
  const auto members = pack.state.find(members_key);
  if (members == pack.state.end() || !members->contains(key)) return std::nullopt;
  const nlohmann::json& member = (*members)[key];
  Snapshot part{pack.phase, member.at("step"), member.at("state"), {}};
  const std::string prefix = key + "/";
  for (auto it = pack.tensors.lower_bound(prefix); it != pack.tensors.end() && it->first.starts_with(prefix); ++it)
    part.tensors[it->first.substr(prefix.size())] = it->second;
  return part;
}

}  // namespace gaggle
