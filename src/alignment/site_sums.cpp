#include "alignment/site_sums.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"

namespace gaggle {
namespace {

at::Tensor slice_of(const at::Tensor& flat, const AlignedSite& site) {
  return flat.narrow(1, site.offset, site.size());
}

// rounds[i]: the sites a rank gets in round i, at most `values` in all, or one.
std::vector<std::vector<size_t>> cut_in_rounds(std::span<const AlignedSite> sites,
                                               std::span<const size_t> of_rank, int64_t values) {
  std::vector<std::vector<size_t>> rounds;
  int64_t held = 0;
  for (const size_t s : of_rank) {
    if (rounds.empty() || held + sites[s].size() > values) {
      rounds.emplace_back();
      held = 0;
    }
    rounds.back().push_back(s);
    held += sites[s].size();
  }
  return rounds;
}

// `all`, then `even`, of one site after the other, as they travel.
std::vector<std::byte> packed(std::span<const AlignedSite> sites, std::span<const size_t> chosen,
                              const TaskGradients& mine) {
  std::vector<std::byte> bytes;
  for (const size_t s : chosen)
    for (const at::Tensor* flat : {&mine.all, &mine.even}) {
      const at::Tensor part = slice_of(*flat, sites[s]).to(at::kCPU).contiguous();
      const auto* from = static_cast<const std::byte*>(part.const_data_ptr());
      bytes.insert(bytes.end(), from, from + part.nbytes());
    }
  return bytes;
}

}  // namespace

std::vector<std::vector<size_t>> deal_sites(std::span<const AlignedSite> sites, int ranks) {
  std::vector<size_t> by_size(sites.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return sites[a].size() > sites[b].size(); });
  std::vector<std::vector<size_t>> dealt(static_cast<size_t>(ranks));
  std::vector<int64_t> values(static_cast<size_t>(ranks), 0);
  for (const size_t s : by_size) {
    const auto rank = static_cast<size_t>(std::min_element(values.begin(), values.end()) - values.begin());
    dealt[rank].push_back(s);
    values[rank] += sites[s].size();
  }
  for (auto& of_rank : dealt) std::sort(of_rank.begin(), of_rank.end());
  return dealt;
}

void for_each_summed_site(
    std::span<const AlignedSite> sites, const TaskGradients& mine, Communicator& group,
    const std::function<void(size_t site, const at::Tensor& all, const at::Tensor& even)>& what,
    int64_t round_bytes) {
  GAGGLE_CHECK(mine.all.sizes() == mine.even.sizes() && mine.all.size(1) == values_of(sites) &&
               mine.all.scalar_type() == at::kFloat && mine.even.scalar_type() == at::kFloat);
  if (group.size() == 1) {
    for (size_t s = 0; s < sites.size(); ++s)
      what(s, slice_of(mine.all, sites[s]), slice_of(mine.even, sites[s]));
    return;
  }
  const auto ranks = static_cast<size_t>(group.size());
  const auto me = static_cast<size_t>(group.rank());
  const int64_t tasks = mine.all.size(0);
  const int64_t bytes_per_value = tasks * 2 * static_cast<int64_t>(sizeof(float));
  const int64_t values_at_once = round_bytes / (bytes_per_value * group.size());

  std::vector<std::vector<std::vector<size_t>>> rounds;  // by rank
  size_t count = 0;
  for (const auto& of_rank : deal_sites(sites, group.size())) {
    rounds.push_back(cut_in_rounds(sites, of_rank, values_at_once));
    count = std::max(count, rounds.back().size());
  }
  for (auto& of_rank : rounds) of_rank.resize(count);

  for (size_t round = 0; round < count; ++round) {
    const std::vector<size_t>& my_sites = rounds[me][round];
    int64_t my_values = 0;
    for (const size_t s : my_sites) my_values += sites[s].size();
    std::vector<std::vector<std::byte>> out(ranks), in(ranks);
    for (size_t r = 0; r < ranks; ++r) {
      out[r] = packed(sites, rounds[r][round], mine);
      in[r].resize(static_cast<size_t>(my_values * bytes_per_value));
    }
    const std::vector<std::span<const std::byte>> send(out.begin(), out.end());
    const std::vector<std::span<std::byte>> receive(in.begin(), in.end());
    group.all_to_all(send, receive);

    size_t at = 0;
    for (const size_t s : my_sites) {
      at::Tensor sums = at::zeros({2, tasks, sites[s].size()}, at::kDouble);
      at::Tensor part = at::empty(sums.sizes(), at::kFloat);
      for (size_t r = 0; r < ranks; ++r) {
        std::memcpy(part.mutable_data_ptr(), in[r].data() + at, part.nbytes());
        sums.add_(part);
      }
      at += part.nbytes();
      what(s, sums[0], sums[1]);
    }
  }
}

}  // namespace gaggle
