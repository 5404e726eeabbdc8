#include "library/collection_index.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/log.h"
#include "base/long_phase.h"
#include "base/table.h"
#include "library/kept_tensors.h"
#include "registry/cache.h"

namespace gaggle {
namespace {

using Directions = std::vector<std::vector<at::Tensor>>;  // [sites][N], undefined: it is no candidate there

std::string place(size_t site, const char* part) { return fmt::format("{}.{}", site, part); }

void add_candidates(std::vector<TensorToKeep>& tensors, const std::vector<SiteCandidates>& sites) {
  for (size_t s = 0; s < sites.size(); ++s) {
    const SiteCandidates& site = sites[s];
    if (site.candidates.empty()) continue;
    tensors.push_back({place(s, "candidates"), at::tensor(site.candidates, at::kDouble)});
    tensors.push_back({place(s, "directions"), site.directions.contiguous()});
    if (site.direction_of.defined()) tensors.push_back({place(s, "direction_of"), site.direction_of.to(at::kDouble)});
  }
}

std::vector<SiteCandidates> candidates_in(const TensorFile& file, size_t sites, at::ScalarType dtype) {
  std::vector<SiteCandidates> all(sites);
  at::parallel_for(0, static_cast<int64_t>(sites), 1, [&](int64_t begin, int64_t end) {
    for (auto s = static_cast<size_t>(begin); s < static_cast<size_t>(end); ++s) {
      if (!file.find(place(s, "candidates"))) continue;
      const at::Tensor ids = kept_tensor(file, place(s, "candidates"));
      const double* first = ids.const_data_ptr<double>();
      all[s].candidates.assign(first, first + ids.numel());
      all[s].directions = kept_tensor(file, place(s, "directions"));
      if (file.find(place(s, "direction_of")))
        all[s].direction_of = kept_tensor(file, place(s, "direction_of")).to(at::kLong);
      finish_candidates(all[s], at::kCPU, dtype);
    }
  });
  return all;
}

std::vector<SiteCandidates> candidates_by(const Directions& directions, std::vector<RoutedSite> sites) {
  std::vector<SiteCandidates> all;
  for (size_t s = 0; s < sites.size(); ++s) {
    set_directions(sites[s], directions[s]);
    all.push_back(sites[s]);
  }
  return all;
}

Directions nothing(const StoredCollection& stored) {
  return Directions(stored.sites.size(), std::vector<at::Tensor>(stored.members.experts.size()));
}

// Every byte of an expert is read, and held against what was committed.
CollectionIndex made_index(const StoredCollection& stored) {
  const auto shape = {static_cast<int64_t>(stored.members.experts.size()), static_cast<int64_t>(stored.sites.size())};
  CollectionIndex index{{}, at::zeros(shape, at::kDouble), at::zeros(shape, at::kDouble), {}};
  auto ranks = index.ranks.accessor<double, 2>(), scales = index.scales.accessor<double, 2>();
  Directions gates = nothing(stored);
  LongPhase phase("reading and hashing " + plural(stored.members.experts.size(), "expert"),
                  static_cast<double>(stored.members.experts.size()));
  for (size_t z = 0; z < stored.members.experts.size(); ++z) {
    phase.add(z == 0 ? 0 : 1);
    const Lora expert = read_pinned(stored.members.name, stored.members.experts[z], stored.sites);
    index.not_finite.push_back(why_not_finite(expert, stored.dtype));
    for (size_t i = 0; i < expert.sites.size(); ++i) {
      const LoraSite& s = expert.sites[i];
      const auto row = static_cast<int64_t>(z), column = static_cast<int64_t>(s.site.index);
      ranks[row][column] = static_cast<double>(s.rank);
      scales[row][column] = s.scale;
      if (!expert.gates.empty() && expert.gates[i].defined())
        gates[static_cast<size_t>(column)][z] = standardise(expert.gates[i]);
    }
  }
  index.gated = candidates_by(gates, shapes_of(stored, index));
  return index;
}

bool all_finite(const CollectionIndex& index) {
  return std::ranges::all_of(index.not_finite, [](const std::string& why) { return why.empty(); });
}

void keep_for_next_time(const StoredCollection& stored, const fs::path& file, const std::string& contents) {
  if (keep_in_cache(stored.registry, file, contents) && contents.size() >= 1e6)
    log::info("{}: {:.0f} MB, so that {} opens at once", file.string(), static_cast<double>(contents.size()) / 1e6,
              stored.members.name);
}

}  // namespace

CollectionIndex index_of(const StoredCollection& stored, bool keep) {
  const fs::path file = cache_file(stored.registry, stored.members.keeper, stored.key + "index");
  if (const auto kept = open_cache(stored.registry, file)) {
    const SafetensorsFile tensors = kept_tensors(*kept);
    return {std::vector<std::string>(stored.members.experts.size()), kept_tensor(tensors, "ranks"),
            kept_tensor(tensors, "scales"), candidates_in(tensors, stored.sites.size(), stored.dtype)};
  }
  CollectionIndex index = made_index(stored);
  // Of what is not finite there is something to say each time.
  if (keep && all_finite(index)) {
    std::vector<TensorToKeep> tensors = {{"ranks", index.ranks}, {"scales", index.scales}};
    add_candidates(tensors, index.gated);
    keep_for_next_time(stored, file, kept_bytes(tensors, {}));
  }
  return index;
}

std::vector<SiteCandidates> arrows_of(const StoredCollection& stored, const CollectionIndex& index, bool keep,
                                      const std::function<std::vector<LowRank>(size_t)>& pairs) {
  const fs::path file = cache_file(stored.registry, stored.members.keeper, stored.key + "arrow");
  if (const auto kept = open_cache(stored.registry, file))
    return candidates_in(kept_tensors(*kept), stored.sites.size(), stored.dtype);
  Directions directions = nothing(stored);
  LongPhase phase("directions of " + plural(stored.members.experts.size(), "expert"),
                  static_cast<double>(stored.members.experts.size()));
  at::parallel_for(0, static_cast<int64_t>(stored.members.experts.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto z = static_cast<size_t>(begin); z < static_cast<size_t>(end); ++z) {
      const std::vector<LowRank> expert = pairs(z);
      for (size_t s = 0; s < expert.size(); ++s)
        if (expert[s].a.defined()) directions[s][z] = arrow_direction(expert[s].a, expert[s].b);
      phase.add();
    }
  });
  std::vector<SiteCandidates> arrows = candidates_by(directions, shapes_of(stored, index));
  if (keep && all_finite(index)) {
    std::vector<TensorToKeep> tensors;
    add_candidates(tensors, arrows);
    keep_for_next_time(stored, file, kept_bytes(tensors, {}));
  }
  return arrows;
}

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

std::vector<RoutedSite> shapes_of(const StoredCollection& stored, const CollectionIndex& index) {
  const auto ranks = index.ranks.accessor<double, 2>(), scales = index.scales.accessor<double, 2>();
  const auto options = at::TensorOptions().dtype(stored.dtype).device(at::kMeta);
  std::vector<RoutedSite> sites(stored.sites.size());
  for (size_t s = 0; s < sites.size(); ++s) {
    std::map<int64_t, LowRank> by_rank;  // experts of one rank share tensors: they hold nothing
    sites[s].experts.resize(stored.members.experts.size());
    for (size_t z = 0; z < stored.members.experts.size(); ++z) {
      const auto row = static_cast<int64_t>(z), column = static_cast<int64_t>(s);
      const auto rank = static_cast<int64_t>(ranks[row][column]);
      if (rank == 0) continue;
      LowRank& pair = by_rank[rank];
      if (!pair.a.defined())
        pair = {
            at::empty({rank, stored.sites[s].d_in}, options), at::empty({stored.sites[s].d_out, rank}, options), 1, {}};
      sites[s].experts[z] = pair;
      sites[s].experts[z].scale = scales[row][column];
    }
    if (!by_rank.empty()) sites[s].scales = index.scales.select(1, static_cast<int64_t>(s)).to(at::kFloat);
  }
  return sites;
}

}  // namespace gaggle
