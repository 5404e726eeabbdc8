#include "library/collection.h"

#include <map>

#include "base/error.h"
#include "library/stored_experts.h"
#include "registry/pins.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

// What the processor's kernels read where it lies.
bool taken_one_by_one(const BaseModel& base) { return base.device().is_cpu() && base.dtype() != at::kDouble; }

// Of an earlier form nothing is read.
constexpr int form_of_cache = 1;

StoredCollection stored_collection(const Registry& registry, const std::string& name, const BaseModel& base) {
  StoredCollection stored{registry, members_of(registry, name), base.sites(), base.dtype(), {}};
  stored.key = fmt::format("{} {} {}\n", form_of_cache, at::toString(base.dtype()), base.shape_digest());
  for (const Version& expert : stored.members.experts) stored.key += pinned(expert) + "\n";
  return stored;
}

// Tensors without values, for who asks where there is a gate.
std::vector<std::vector<at::Tensor>> shapes_of_gates(const StoredCollection& stored, const CollectionIndex& index) {
  std::vector<std::vector<at::Tensor>> gates(stored.sites.size(),
                                             std::vector<at::Tensor>(stored.members.experts.size()));
  for (size_t s = 0; s < gates.size(); ++s) {
    const at::Tensor shape = at::empty({stored.sites[s].d_in}, at::TensorOptions(at::kFloat).device(at::kMeta));
    for (const int z : index.gated[s].candidates) gates[s][static_cast<size_t>(z)] = shape;
  }
  return gates;
}

}  // namespace

OpenedCollection open_collection(const Registry& registry, const std::string& name, const BaseModel& base, bool keep,
                                 bool whole) {
  OpenedCollection opened;
  StoredCollection stored = stored_collection(registry, name, base);
  for (const Version& expert : stored.members.experts) opened.pins += pinned(expert) + "\n";
  if (whole || !taken_one_by_one(base)) {
    opened.collection = routed_collection(load_collection(registry, name, base.sites()), base);
    return opened;
  }
  CollectionIndex index = index_of(stored, keep);
  RoutedCollection& collection = opened.collection;
  for (const Version& expert : stored.members.experts) collection.names.push_back(expert.name);
  collection.sites = shapes_of(stored, index);
  collection.gates = shapes_of_gates(stored, index);
  collection.not_finite = index.not_finite;
  collection.source = stored_experts(std::move(stored), std::move(index), keep);
  return opened;
}

RoutedCollection routed_collection(const std::vector<Lora>& experts, const BaseModel& base) {
  const size_t sites = base.sites().size();
  RoutedCollection collection;
  collection.gates.assign(sites, std::vector<at::Tensor>(experts.size()));
  std::vector<std::vector<LowRank>> pairs(sites, std::vector<LowRank>(experts.size()));
  for (size_t z = 0; z < experts.size(); ++z) {
    const Lora& expert = experts[z];
    collection.names.push_back(expert.name);
    collection.not_finite.push_back(why_not_finite(expert, base.dtype()));
    collection.gate_bias.push_back(expert.gate_bias);
    collection.categories.push_back(expert.category);
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

std::string pinned(const Version& expert) { return expert.pin() + ":" + digest_of(expert); }

}  // namespace gaggle
