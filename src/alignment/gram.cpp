#include "alignment/gram.h"

#include "adapter/poly.h"
#include "base/error.h"
#include "train/exchange.h"

namespace gaggle {
namespace {

// 1 / share, [T, 1]; 0 for an empty share, whose gradient is 0 too.
at::Tensor inverse_shares(const std::vector<double>& shares, at::Device device) {
  at::Tensor inverse = at::empty({static_cast<int64_t>(shares.size()), 1}, at::kDouble);
  for (size_t t = 0; t < shares.size(); ++t) inverse.mutable_data_ptr<double>()[t] = shares[t] > 0 ? 1 / shares[t] : 0;
  return inverse.to(device);
}

// [T, site.size()] → [heads, T, a_size + b_size].
at::Tensor by_head(const at::Tensor& gradients, const AlignedSite& site) {
  const int64_t tasks = gradients.size(0), a = site.heads * site.a_size, b = site.heads * site.b_size;
  return at::cat({gradients.narrow(1, 0, a).reshape({tasks, site.heads, site.a_size}),
                  gradients.narrow(1, a, b).reshape({tasks, site.heads, site.b_size})},
                 2)
      .transpose(0, 1);
}

}  // namespace

Grams head_products(const AlignedSite& site, const at::Tensor& all, const at::Tensor& even, const BatchTasks& batch) {
  std::vector<double> shares = batch.even_share;
  for (size_t t = 0; t < shares.size(); ++t) shares[t] += batch.odd_share[t];
  const auto scaled = [&](const at::Tensor& gradients, const std::vector<double>& by) {
    return by_head(gradients * inverse_shares(by, gradients.device()), site);
  };
  const at::Tensor whole = all.to(at::kDouble), first = even.to(at::kDouble);
  const at::Tensor g = scaled(whole, shares), e = scaled(first, batch.even_share),
                   o = scaled(whole - first, batch.odd_share);
  const at::Tensor across = at::bmm(e, o.transpose(1, 2));
  return {at::bmm(g, g.transpose(1, 2)), (across + across.transpose(1, 2)) / 2};
}

std::map<GradientSpace, Grams> task_grams(std::span<const AlignedSite> sites, const TaskGradients& mine,
                                          const BatchTasks& batch, std::span<const GradientSpace> wanted,
                                          Communicator& group) {
  const auto tasks = static_cast<int64_t>(batch.tasks.size()), count = static_cast<int64_t>(sites.size());
  GAGGLE_CHECK(mine.all.size(0) == tasks && batch.even_share.size() == batch.tasks.size() &&
               batch.odd_share.size() == batch.tasks.size());
  std::map<GradientSpace, Grams> grams;
  for (const GradientSpace space : wanted) {
    GAGGLE_CHECK(space == mine.space || (space == GradientSpace::skill && mine.weights.size() == sites.size()),
                 "no {} space from these gradients", name_of(space));
    grams[space] = {at::zeros({count, tasks, tasks}, at::kDouble), at::zeros({count, tasks, tasks}, at::kDouble)};
  }
  for_each_summed_site(sites, mine, group, [&](size_t s, const at::Tensor& all, const at::Tensor& even) {
    const Grams products = head_products(sites[s], all, even, batch);
    const auto in_space = [&](GradientSpace space, const at::Tensor& per_head) {
      return space == mine.space ? per_head.sum(0) : skill_gram(per_head, mine.weights[s]);
    };
    for (auto& [space, gram] : grams) {
      gram.full[static_cast<int64_t>(s)].copy_(in_space(space, products.full));
      gram.halves[static_cast<int64_t>(s)].copy_(in_space(space, products.halves));
    }
  });
  if (group.size() == 1 || tasks == 0) return grams;
  const auto dealt = deal_sites(sites, group.size());
  std::vector<int> of_site(sites.size());
  for (size_t rank = 0; rank < dealt.size(); ++rank)
    for (const size_t site : dealt[rank]) of_site[site] = static_cast<int>(rank);
  for (auto& [space, gram] : grams) {
    gather_rows(gram.full, of_site, group);
    gather_rows(gram.halves, of_site, group);
  }
  return grams;
}

}  // namespace gaggle
