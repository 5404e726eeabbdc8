#include "alignment/statistics.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/error.h"

namespace gaggle {
namespace {

at::Tensor index_tensor(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

// a / sqrt(n · nᵀ), NaN unless both norms are positive: two negative ones have a positive product too.
at::Tensor ratio(const at::Tensor& product, const at::Tensor& norm, const at::Tensor& other) {
  const at::Tensor counted = at::logical_and(norm > 0, other > 0);
  return at::where(counted, product / (norm.sqrt() * other.sqrt()), at::full({}, unknown, at::kDouble));
}

}  // namespace

std::vector<SiteGroup> site_groups(std::span<const AlignedSite> sites) {
  std::vector<SiteGroup> groups = {{"all", "all", {}}};
  std::map<int, std::vector<size_t>> layers;
  for (size_t s = 0; s < sites.size(); ++s) {
    groups[0].sites.push_back(s);
    layers[sites[s].layer].push_back(s);
    auto kind = std::find_if(groups.begin() + 1, groups.end(),
                             [&](const SiteGroup& group) { return group.name == sites[s].kind; });
    if (kind == groups.end()) kind = groups.insert(kind, {"kind", sites[s].kind, {}});
    kind->sites.push_back(s);
  }
  for (auto& [layer, members] : layers) groups.push_back({"layer", std::to_string(layer), std::move(members)});
  return groups;
}

at::Tensor group_grams(const at::Tensor& by_site, std::span<const SiteGroup> groups) {
  std::vector<at::Tensor> sums;
  for (const SiteGroup& group : groups) {
    const std::vector<int64_t> members(group.sites.begin(), group.sites.end());
    sums.push_back(by_site.index_select(0, index_tensor(members)).sum(0));
  }
  return at::stack(sums);
}

at::Tensor cosines(const at::Tensor& gram) {
  const at::Tensor norms = gram.diagonal(0, -2, -1);
  return ratio(gram, norms.unsqueeze(-1), norms.unsqueeze(-2));
}

PairStatistics pair_statistics(const at::Tensor& cosines) {
  const int64_t tasks = cosines.size(0);
  const auto cosine = cosines.accessor<double, 2>();
  std::vector<double> pairs;
  for (int64_t i = 0; i < tasks; ++i)
    for (int64_t j = i + 1; j < tasks; ++j)
      if (!std::isnan(cosine[i][j])) pairs.push_back(cosine[i][j]);
  PairStatistics statistics;
  statistics.pairs = static_cast<int64_t>(pairs.size());
  if (pairs.empty()) return statistics;
  const auto count = static_cast<double>(pairs.size());
  statistics.mean_cosine = std::accumulate(pairs.begin(), pairs.end(), 0.0) / count;
  statistics.conflicting = static_cast<double>(std::ranges::count_if(pairs, [](double c) { return c < 0; })) / count;
  std::ranges::sort(pairs);
  statistics.median_cosine = (pairs[pairs.size() / 2] + pairs[(pairs.size() - 1) / 2]) / 2;
  return statistics;
}

PairSums no_pairs(int64_t groups, int64_t tasks) {
  return {at::zeros({groups, tasks, tasks}, at::kDouble), at::zeros({groups, tasks, tasks}, at::kDouble),
          at::zeros({tasks, tasks}, at::kLong)};
}

void add_pairs(PairSums& sums, const at::Tensor& grams, std::span<const int> tasks, const std::vector<bool>& use) {
  GAGGLE_CHECK(tasks.size() == use.size() && grams.size(1) == static_cast<int64_t>(tasks.size()));
  std::vector<int64_t> places, numbers;
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (!use[i]) continue;
    places.push_back(static_cast<int64_t>(i));
    numbers.push_back(tasks[i]);
  }
  if (places.empty()) return;
  const at::Tensor from = index_tensor(places), to = index_tensor(numbers);
  const auto used = static_cast<int64_t>(places.size());
  const at::Tensor product = grams.index_select(1, from).index_select(2, from);
  const at::Tensor norm = product.diagonal(0, 1, 2).unsqueeze(2).expand_as(product);
  const at::Tensor rows = to.unsqueeze(1).expand({used, used}), columns = to.unsqueeze(0).expand({used, used});
  for (int64_t group = 0; group < grams.size(0); ++group) {
    sums.product[group].index_put_({rows, columns}, product[group], true);
    sums.norm[group].index_put_({rows, columns}, norm[group], true);
  }
  sums.count.index_put_({rows, columns}, at::ones({used, used}, at::kLong), true);
}

at::Tensor pair_cosines(const PairSums& sums) { return ratio(sums.product, sums.norm, sums.norm.transpose(1, 2)); }

std::vector<bool> in_both_halves(const BatchTasks& batch) {
  std::vector<bool> both;
  for (size_t t = 0; t < batch.tasks.size(); ++t) both.push_back(batch.even_samples[t] > 0 && batch.odd_samples[t] > 0);
  return both;
}

}  // namespace gaggle
