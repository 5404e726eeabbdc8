#include "eval/collection.h"

#include <map>

#include "base/error.h"
#include "base/names.h"
#include "base/sha256.h"

namespace gaggle {
namespace {

at::Tensor tensor_of(const std::vector<float>& values, const std::vector<int64_t>& shape) {
  auto tensor = at::empty(shape, at::kFloat);
  GAGGLE_CHECK(static_cast<size_t>(tensor.numel()) == values.size());
  std::copy(values.begin(), values.end(), tensor.data_ptr<float>());
  return tensor;
}

void check_shapes(const Expert& expert, const SiteLora& lora, const Site& site) {
  const bool fits = lora.shape_a == std::vector<int64_t>{lora.rank, site.d_in} &&
                    lora.shape_b == std::vector<int64_t>{site.d_out, lora.rank} &&
                    (lora.gate.empty() || static_cast<int64_t>(lora.gate.size()) == site.d_in);
  if (!fits)
    user_error("expert {}@{}: {} does not fit the base's linear of {} inputs and {} outputs (rank {})",
               expert.name, expert.version, lora.site, site.d_in, site.d_out, lora.rank);
}

}  // namespace

RoutedCollection routed_collection(const std::vector<Expert>& experts, const BaseModel& base) {
  const auto& sites = base.sites();
  std::map<std::string, size_t> index;
  std::vector<std::string> site_names;
  for (const Site& site : sites) {
    index[site.name] = static_cast<size_t>(site.index);
    site_names.push_back(site.name);
  }
  RoutedCollection collection;
  collection.gates.assign(sites.size(), std::vector<at::Tensor>(experts.size()));
  std::vector<std::vector<LowRank>> pairs(sites.size(), std::vector<LowRank>(experts.size()));
  for (size_t z = 0; z < experts.size(); ++z) {
    const Expert& expert = experts[z];
    collection.names.push_back(expert.name);
    for (const SiteLora& lora : expert.sites) {
      const auto found = index.find(lora.site);
      if (found == index.end()) {
        const std::string near = nearest_name(lora.site, site_names);
        user_error(
            "expert {}@{} has the site {}, which the base {} does not have{}: was it trained on another model?",
            expert.name, expert.version, lora.site, base.spec().name,
            near.empty() ? "" : fmt::format(" (the nearest is {})", near));
      }
      const size_t s = found->second;
      check_shapes(expert, lora, sites[s]);
      if (lora.rank == 0) continue;
      pairs[s][z].a = tensor_of(lora.a, lora.shape_a).to(base.device(), base.dtype());
      pairs[s][z].b = tensor_of(lora.b, lora.shape_b).to(base.device(), base.dtype());
      pairs[s][z].scale = lora.scale;
      if (!lora.gate.empty()) collection.gates[s][z] = tensor_of(lora.gate, {sites[s].d_in}).to(base.device());
    }
  }
  for (auto& site_pairs : pairs) collection.sites.push_back(stack_experts(std::move(site_pairs)));
  return collection;
}

std::string pinned(const Expert& expert) {
  const auto sums = expert.folder / "SHA256SUMS";
  return expert.name + "@" + expert.version + ":" +
         (std::filesystem::exists(sums) ? sha256_hex_of_file(sums) : expert.key);
}

}  // namespace gaggle
