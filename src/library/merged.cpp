#include "library/merged.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/long_phase.h"
#include "base/table.h"
#include "library/lora.h"
#include "library/shared_sites.h"
#include "registry/outside.h"
#include "registry/pins.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

PeftTensor narrow(const at::Tensor& values) {
  const at::Tensor floats = values.to(at::kFloat).contiguous();
  const float* first = floats.const_data_ptr<float>();
  return {floats.sizes().vec(), {first, first + floats.numel()}};
}

// `site` gets its tensors and its rank.
SiteEnergy merge(const SharedSite& shared, size_t experts, int64_t rank, PeftSite& site) {
  std::vector<at::Tensor> a, b;
  for (const PeftSite* pair : shared.sites) {
    a.push_back(doubles_of(pair->tensors[0]));
    b.push_back(doubles_of(pair->tensors[1]).mul_(pair->scale / static_cast<double>(experts)));
  }
  const auto [q_a, r_a] = at::linalg_qr(at::cat(a).t(), "reduced");
  const auto [q_b, r_b] = at::linalg_qr(at::cat(b, 1), "reduced");
  const auto [u, s, vh] = at::linalg_svd(at::matmul(r_b, r_a.t()), /*full_matrices=*/false);
  // What rounding alone leaves is none of the mean's; of a mean of zero one such value stays.
  const double dust = 1e-15 * static_cast<double>(q_a.size(0) + q_b.size(0)) * (r_a.norm() * r_b.norm()).item<double>();
  SiteEnergy energy;
  energy.rank = std::max<int64_t>(1, (s > dust).sum().item<int64_t>());
  site.rank = rank == 0 ? energy.rank : std::min(rank, energy.rank);
  const at::Tensor squares = s.square(), root = s.narrow(0, 0, site.rank).sqrt();
  energy.all = squares.sum().item<double>();
  energy.kept = squares.narrow(0, 0, site.rank).sum().item<double>();
  site.tensors = {narrow(at::matmul(root.unsqueeze(1) * vh.narrow(0, 0, site.rank), q_a.t())),
                  narrow(at::matmul(q_b, u.narrow(1, 0, site.rank) * root))};
  return energy;
}

struct PinnedLoras {
  std::vector<std::string> pins;
  std::vector<PeftAdapter> experts;
};

PinnedLoras read_experts(const Registry& registry, const Version& collection) {
  PinnedLoras read;
  for (const PinnedExpert& pinned : read_pins(collection)) {
    read.pins.push_back(pinned.pin.text());
    read.experts.push_back(read_pinned(collection.pin(), pinned_expert(registry, collection, pinned)));
    require_finite(read.experts.back());
  }
  if (read.experts.empty()) user_error("collection {}: it pins no experts, which have no mean", collection.pin());
  return read;
}

nlohmann::ordered_json energy_json(const MergedLora& merged) {
  return {{"kept", merged.energy.share()}, {"kept_at_worst", merged.worst.share()}, {"worst_site", merged.worst_site}};
}

}  // namespace

double SiteEnergy::share() const { return all > 0 ? kept / all : 1; }

MergedLora mean_expert(std::span<const PeftAdapter> experts, std::span<const std::string> names, int64_t rank) {
  MergedLora merged;
  merged.lora.base = experts[0].base;
  std::vector<SharedSite> sites;
  for (auto& [name, shared] : shared_sites(experts, names)) {
    merged.lora.sites.emplace_back().site = name;
    sites.push_back(shared);
  }
  std::vector<SiteEnergy> energies(sites.size());
  LongPhase phase("the mean of " + plural(experts.size(), "expert"), static_cast<double>(sites.size()));
  // A thread has whole sites, so that no bits depend on how many there are.
  at::parallel_for(0, static_cast<int64_t>(sites.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      energies[i] = merge(sites[i], experts.size(), rank, merged.lora.sites[i]);
      phase.add();
    }
  });
  for (size_t i = 0; i < sites.size(); ++i) {
    const SiteEnergy& site = energies[i];
    merged.energy.rank = std::max(merged.energy.rank, site.rank);
    merged.energy.all += site.all;
    merged.energy.kept += site.kept;
    if (i > 0 && site.share() >= merged.worst.share()) continue;
    merged.worst = site;
    merged.worst_site = merged.lora.sites[i].site;
  }
  merged.lora = with_scale_in_b(std::move(merged.lora));
  return merged;
}

std::string export_merged(const Registry& registry, const std::string& collection, int64_t rank,
                          const ExportTarget& to) {
  const Version from = registry.locate(collection, {Kind::collection});
  check_new_folder(to.folder, "--to");
  const PinnedLoras pinned = read_experts(registry, from);
  const MergedLora merged = mean_expert(pinned.experts, pinned.pins, rank);
  NewVersion about{Kind::expert, from.name, "", {}, {}, {{"origin", "merged"}}};
  about.sidecar.update({{"collection", from.pin()},
                        {"collection_sha256", digest_of(from)},
                        {"experts", pinned.pins},
                        {"energy", energy_json(merged)}});
  about.sidecar.update(sizes_json(merged.lora));
  export_lora(merged.lora, sidecar_text(about), to);
  return fmt::format("the mean of {} at {}, rank {} of {}, with {:.2f}% of its energy Σσ² ({:.2f}% at {})",
                     plural(pinned.pins.size(), "expert"), plural(merged.lora.sites.size(), "site"),
                     merged.lora.sites[0].rank, merged.energy.rank, 100 * merged.energy.share(),
                     100 * merged.worst.share(), merged.worst_site);
}

}  // namespace gaggle
