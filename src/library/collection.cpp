#include "library/collection.h"

#include "base/error.h"

namespace gaggle {
namespace {

// Not finite as it is stored, or not in the base's numbers.
std::string why_not_finite(const Lora& expert, at::ScalarType dtype) {
  if (!expert.not_finite.empty()) return expert.not_finite;
  const at::Tensor finite = at::isfinite(expert.values.to(dtype));
  if (finite.all().item<bool>()) return "";
  const ParameterLayout layout = lora_layout(expert.sites);
  for (const ParameterInfo& tensor : layout.tensors())
    if (!layout.view(finite, tensor).all().item<bool>())
      return fmt::format("{}: {} has values beyond {}", expert.pin(), tensor.name, at::toString(dtype));
  return "";
}

}  // namespace

RoutedCollection routed_collection(const std::vector<Lora>& experts, const BaseModel& base) {
  const size_t sites = base.sites().size();
  RoutedCollection collection;
  collection.gates.assign(sites, std::vector<at::Tensor>(experts.size()));
  std::vector<std::vector<LowRank>> pairs(sites, std::vector<LowRank>(experts.size()));
  for (size_t z = 0; z < experts.size(); ++z) {
    const Lora& expert = experts[z];
    collection.names.push_back(expert.name);
    collection.not_finite.push_back(why_not_finite(expert, base.dtype()));
    const ParameterLayout layout = lora_layout(expert.sites);
    const auto tensor = [&](const LoraSite& s, const char* part) {
      return layout.view(expert.values, s.site.name + part).to(base.device(), base.dtype(), false, /*copy=*/true);
    };
    for (size_t i = 0; i < expert.sites.size(); ++i) {
      const LoraSite& s = expert.sites[i];
      const auto index = static_cast<size_t>(s.site.index);
      pairs[index][z] = {tensor(s, ".lora_A"), tensor(s, ".lora_B"), s.scale, {}};
      if (!expert.gates.empty() && expert.gates[i].defined())
        collection.gates[index][z] = expert.gates[i].to(base.device());
    }
  }
  for (auto& site_pairs : pairs) collection.sites.push_back(stack_experts(std::move(site_pairs)));
  return collection;
}

std::string pinned(const Lora& expert) { return expert.pin() + ":" + expert.digest; }

}  // namespace gaggle
