// Routing as a few dense operations over rows, for GPUs and fp64; a CPU has kernels of its own.
#include "kernel/routing.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernel/dispatch.h"
#include "kernel/routed_rows.h"
#include "kernel/token_scores.h"
#include "kernel/upload.h"

namespace gaggle {
namespace {

// Up to this many columns in all, the wasted products with zero weights cost less than moving rows about.
constexpr int64_t stacked_columns = 512;

// [T, N]: what each token gives each expert. No scattering, which GPUs do by sorting.
at::Tensor by_expert(const RoutedSite& site, const TokenRouting& routed) {
  at::Tensor all = at::zeros({routed.experts.size(0), site.scales.size(0)}, routed.weights.options());
  for (int64_t j = 0; j < routed.experts.size(1); ++j)
    all.addcmul_(routed.experts.narrow(1, j, 1).eq(site.numbers), routed.weights.narrow(1, j, 1));
  return all;
}

// h = x Aᵀ of every candidate at once; weight 0 for those a token did not choose.
void add_stacked(const at::Tensor& x, at::Tensor& y, const RoutedSite& site, const TokenRouting& routed) {
  at::Tensor h = at::matmul(x, site.stacked_a.t());
  const at::Tensor weights = by_expert(site, routed).mul_(site.scales).to(h.scalar_type()).unsqueeze(2);
  h.view({x.size(0), -1, site.rank}).mul_(weights);
  y.addmm_(h, site.stacked_bt);
}

// Tokens sorted by expert, every expert's as one of the products that a single launch makes.
void add_grouped(const at::Tensor& x, at::Tensor& y, const RoutedSite& site, const TokenRouting& routed) {
  const int64_t k = routed.experts.size(1), n = site.numbers.size(0);
  const auto [sorted, order] = at::sort(routed.experts.flatten(), /*stable=*/true, /*dim=*/0, /*descending=*/false);
  const at::Tensor ends = at::searchsorted(sorted, site.numbers, /*out_int32=*/true, /*right=*/true);
  const at::Tensor a = site.stacked_a.view({n, site.rank, x.size(1)}).transpose(1, 2);
  at::Tensor h = at::_grouped_mm(x.index_select(0, order.div(k, "floor")), a, ends);
  const at::Tensor weights = routed.weights.flatten().index_select(0, order) * site.scales.index_select(0, sorted);
  h.mul_(weights.to(h.scalar_type()).unsqueeze(1));
  const at::Tensor out = at::_grouped_mm(h, site.stacked_bt.view({n, site.rank, y.size(1)}), ends);
  // Back to token order, then a sum over the k in that order: no scattered additions.
  y.add_(out.index_select(0, at::argsort(order)).view({x.size(0), k, y.size(1)}).sum(1));
}

// Grouped products take bf16 whose rows begin at multiples of 16 bytes.
bool takes_grouped(const at::Tensor& x, const at::Tensor& y) {
  return !x.is_cpu() && is_bf16(x) && is_bf16(y) && x.size(1) % 8 == 0 && y.size(1) % 8 == 0;
}

}  // namespace

at::Tensor standardise(const at::Tensor& v) { return at::layer_norm(v, {v.size(-1)}, {}, {}, 1e-5); }

at::Tensor arrow_direction(const at::Tensor& a, const at::Tensor& b) {
  const auto [q_a, r_a] = at::linalg_qr(a.to(at::kCPU, at::kDouble).t(), "reduced");
  const auto [q_b, r_b] = at::linalg_qr(b.to(at::kCPU, at::kDouble), "reduced");
  const auto [u, s, vh] = at::linalg_svd(at::matmul(r_b, r_a.t()), /*full_matrices=*/false);
  if (s[0].item<double>() == 0) return at::zeros({a.size(1)}, at::kFloat);
  return at::matmul(q_a, vh[0]).to(at::kFloat);
}

RoutedSite stack_experts(std::vector<LowRank> experts) {
  RoutedSite site;
  const auto there = std::ranges::find_if(experts, [](const LowRank& expert) { return expert.a.defined(); });
  const at::Tensor a = there == experts.end() ? at::Tensor() : there->a, b = a.defined() ? there->b : a;
  site.experts = std::move(experts);
  if (!a.defined()) return site;
  for (const LowRank& expert : site.experts)
    if (expert.a.defined()) site.rank = std::max(site.rank, expert.a.size(0));
  if (!a.is_cpu()) site.rank = (site.rank + 7) / 8 * 8;
  const auto n = static_cast<int64_t>(site.experts.size());
  site.stacked_a = at::zeros({n * site.rank, a.size(1)}, a.options());
  site.stacked_bt = at::zeros({n * site.rank, b.size(0)}, b.options());
  std::vector<float> scales(site.experts.size(), 0);
  for (size_t z = 0; z < site.experts.size(); ++z) {
    LowRank& expert = site.experts[z];
    if (!expert.a.defined()) continue;
    scales[z] = static_cast<float>(expert.scale);
    const int64_t row = static_cast<int64_t>(z) * site.rank, rank = expert.a.size(0);
    expert.a = site.stacked_a.narrow(0, row, rank).copy_(expert.a);
    expert.b = site.stacked_bt.narrow(0, row, rank).copy_(expert.b.t()).t();
  }
  site.numbers = at::arange(n, a.options().dtype(at::kLong));
  site.scales = to_device(scales, a.device());
  return site;
}

void set_candidates(RoutedSite& site, std::vector<int> candidates, const std::vector<at::Tensor>& directions) {
  GAGGLE_CHECK(directions.empty() || directions.size() == candidates.size());
  site.candidates = std::move(candidates);
  site.direction_of.reset();
  if (site.candidates.empty()) return;
  for (const int z : site.candidates) GAGGLE_CHECK(site.experts[static_cast<size_t>(z)].a.defined());
  const auto device = site.scales.device();
  if (!directions.empty()) {
    const auto all = at::stack(directions).to(device, at::kFloat);
    auto [unique, direction_of, counts] = at::unique_dim(all, 0, true, true, false);
    const bool equal = unique.size(0) < all.size(0);
    site.directions = equal ? unique : all;
    if (equal) site.direction_of = direction_of;
  }
  finish_candidates(site, device, site.experts[static_cast<size_t>(site.candidates[0])].a.scalar_type());
}

void finish_candidates(SiteCandidates& site, at::Device device, at::ScalarType type) {
  const std::vector<int64_t> ids(site.candidates.begin(), site.candidates.end());
  site.candidate_ids = to_device(ids, device);
  if (site.directions.defined()) site.rough = rough_directions(site.directions, type);
}

void set_directions(RoutedSite& site, const std::vector<at::Tensor>& by_expert) {
  std::vector<int> candidates;
  std::vector<at::Tensor> directions;
  for (size_t z = 0; z < by_expert.size(); ++z) {
    if (!by_expert[z].defined()) continue;
    candidates.push_back(static_cast<int>(z));
    directions.push_back(by_expert[z]);
  }
  set_candidates(site, std::move(candidates), directions);
}

at::Tensor direction_scores(const at::Tensor& x, const SiteCandidates& site, Scoring scoring) {
  const auto rows = scoring == Scoring::phatgoose ? standardise(x.to(at::kFloat)) : x.to(at::kFloat);
  auto scores = at::matmul(rows, site.directions.t());
  const double root = std::sqrt(static_cast<double>(x.size(1)));
  if (scoring == Scoring::phatgoose) scores.div_(root);
  if (scoring == Scoring::arrow_mttl) scores.abs_();
  if (scoring == Scoring::arrow_phatgoose) scores.abs_().div_(10 * root);
  return site.direction_of.defined() ? scores.index_select(1, site.direction_of) : scores;
}

TokenRouting best_of(const at::Tensor& scores, const at::Tensor& candidate_ids, int64_t k, double temperature) {
  // A stable sort, not topk: equal scores keep the order of the expert numbers.
  auto [sorted, order] = at::sort(scores, /*stable=*/true, /*dim=*/1, /*descending=*/true);
  if (k > 0 && k < scores.size(1)) {
    sorted = sorted.narrow(1, 0, k);
    order = order.narrow(1, 0, k);
  }
  if (temperature != 1) sorted = sorted.div(temperature);
  return {candidate_ids.index_select(0, order.flatten()).view(order.sizes()), at::softmax(sorted, 1)};
}

TokenRouting route(const at::Tensor& x, const RoutedSite& site, Scoring scoring, int64_t k) {
  if (site.candidates.empty())
    return {at::empty({x.size(0), 0}, x.options().dtype(at::kLong)),
            at::empty({x.size(0), 0}, x.options().dtype(at::kFloat))};
  if (on_cpu(x)) return route_rows(x, site, scoring, k);
  return best_of(direction_scores(x, site, scoring), site.candidate_ids, k);
}

void add_routed(const at::Tensor& x, at::Tensor& y, const RoutedSite& site, const TokenRouting& routed) {
  if (x.size(0) == 0 || routed.experts.size(1) == 0) return;
  if (on_cpu(x) && on_cpu(y)) return add_routed_rows(x, y, site, routed);
  const bool all = routed.experts.size(1) == static_cast<int64_t>(site.candidates.size());
  if (all || site.stacked_a.size(0) <= stacked_columns || !takes_grouped(x, y))
    add_stacked(x, y, site, routed);
  else
    add_grouped(x, y, site, routed);
}

void add_weights(const TokenRouting& routed, at::Tensor& sums) {
  if (!sums.is_cpu()) {
    // Not bincount and not index_add_: with weights they have no form on CUDA that is deterministic and fast.
    const at::Tensor chosen =
        routed.experts.flatten().unsqueeze(1).eq(at::arange(sums.size(0), routed.experts.options()));
    sums.add_(chosen.mul(routed.weights.flatten().unsqueeze(1)).sum(0, false, at::kDouble));
    return;
  }
  const at::Tensor experts = routed.experts.contiguous(), weights = routed.weights.contiguous();
  const int64_t* expert = experts.data_ptr<int64_t>();
  const float* weight = weights.data_ptr<float>();
  std::vector<double> added(static_cast<size_t>(sums.numel()));
  for (int64_t i = 0; i < experts.numel(); ++i) added[static_cast<size_t>(expert[i])] += weight[i];
  for (size_t z = 0; z < added.size(); ++z) sums.data_ptr<double>()[z] += added[z];
}

}  // namespace gaggle
