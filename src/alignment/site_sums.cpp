#include "alignment/site_sums.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace gaggle {
namespace {

at::Tensor slice_of(const at::Tensor& flat, const AlignedSite& site) {
  return flat.narrow(1, site.offset, site.size());
}

// sent[r] goes to rank r; returns what every rank has for this one, shaped as what it has for itself.
std::vector<at::Tensor> exchanged(const std::vector<at::Tensor>& sent, Communicator& group) {
  std::vector<at::Tensor> received;
  std::vector<std::span<const std::byte>> send;
  std::vector<std::span<std::byte>> receive;
  for (const at::Tensor& part : sent) {
    send.emplace_back(static_cast<const std::byte*>(part.const_data_ptr()), part.nbytes());
    const at::Tensor& to = received.emplace_back(at::empty_like(sent[static_cast<size_t>(group.rank())]));
    receive.emplace_back(static_cast<std::byte*>(to.mutable_data_ptr()), to.nbytes());
  }
  group.all_to_all(send, receive);
  return received;
}

}  // namespace

std::vector<std::vector<size_t>> deal_sites(std::span<const AlignedSite> sites, int ranks) {
  std::vector<size_t> by_size(sites.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::ranges::stable_sort(by_size, std::greater(), [&](size_t s) { return sites[s].size(); });
  std::vector<std::vector<size_t>> dealt(static_cast<size_t>(ranks));
  std::vector<int64_t> values(static_cast<size_t>(ranks), 0);
  for (const size_t s : by_size) {
    const auto rank = static_cast<size_t>(std::ranges::min_element(values) - values.begin());
    dealt[rank].push_back(s);
    values[rank] += sites[s].size();
  }
  for (auto& of_rank : dealt) std::ranges::sort(of_rank);
  return dealt;
}

void for_each_summed_site(std::span<const AlignedSite> sites, const TaskGradients& mine, Communicator& group,
                          const std::function<void(size_t site, const at::Tensor& all, const at::Tensor& even)>& what) {
  GAGGLE_CHECK(mine.all.sizes() == mine.even.sizes() && mine.all.size(1) == values_of(sites) &&
               mine.all.scalar_type() == at::kFloat && mine.even.scalar_type() == at::kFloat);
  if (group.size() == 1) {
    for (size_t s = 0; s < sites.size(); ++s) what(s, slice_of(mine.all, sites[s]), slice_of(mine.even, sites[s]));
    return;
  }
  const std::vector<std::vector<size_t>> dealt = deal_sites(sites, group.size());
  size_t rounds = 0;
  for (const std::vector<size_t>& of_rank : dealt) rounds = std::max(rounds, of_rank.size());
  for (size_t round = 0; round < rounds; ++round) {
    std::vector<at::Tensor> sent;
    for (const std::vector<size_t>& of_rank : dealt) {
      if (round >= of_rank.size()) {
        sent.push_back(at::empty({0}, at::kFloat));
        continue;
      }
      const AlignedSite& site = sites[of_rank[round]];
      sent.push_back(at::stack({slice_of(mine.all, site), slice_of(mine.even, site)}).cpu());
    }
    const std::vector<at::Tensor> parts = exchanged(sent, group);
    const std::vector<size_t>& my_sites = dealt[static_cast<size_t>(group.rank())];
    if (round >= my_sites.size()) continue;
    at::Tensor sums = at::zeros(parts[0].sizes(), at::kDouble);
    for (const at::Tensor& part : parts) sums.add_(part);
    what(my_sites[round], sums[0], sums[1]);
  }
}

}  // namespace gaggle
