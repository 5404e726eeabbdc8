// Routing as a few dense operations over rows, for GPUs and fp64; a CPU has kernels of its own.
#include "kernel/routing.h"

#include <cmath>

#include "base/error.h"
#include "kernel/dispatch.h"
#include "kernel/routed_rows.h"
#include "kernel/token_scores.h"

namespace gaggle {
namespace {

// Up to this many columns in all, the wasted products with zero weights cost less than moving rows about.
constexpr int64_t stacked_columns = 512;

// h = x Aᵀ of every candidate at once; weight 0 for those a token did not choose.
void add_stacked(const at::Tensor& x, at::Tensor& y, const RoutedSite& site, const TokenRouting& routed) {
  auto weights = at::zeros({x.size(0), site.scales.size(0)}, routed.weights.options());
  weights.scatter_(1, routed.experts, routed.weights);
  auto h = at::matmul(x, site.stacked_a.t());
  h.mul_((weights * site.scales).index_select(1, site.column_expert).to(h.scalar_type()));
  y.addmm_(h, site.stacked_bt);
}

void add_sorted(const at::Tensor& x, at::Tensor& y, const RoutedSite& site, const TokenRouting& routed) {
  const int64_t k = routed.experts.size(1);
  const auto flat = routed.experts.flatten();
  const auto order = std::get<1>(at::sort(flat, /*stable=*/true, /*dim=*/0, /*descending=*/false));
  const auto counts = at::bincount(flat, {}, static_cast<int64_t>(site.experts.size())).cpu();
  const auto sorted_x = x.index_select(0, order.div(k, "floor"));
  const auto weights = routed.weights.flatten().index_select(0, order).unsqueeze(1);
  auto sorted_y = at::empty({flat.size(0), y.size(1)}, y.options());
  int64_t begin = 0;
  for (size_t z = 0; z < site.experts.size(); ++z) {
    const int64_t n = counts.data_ptr<int64_t>()[z];
    if (n == 0) continue;
    const LowRank& expert = site.experts[z];
    auto h = at::matmul(sorted_x.narrow(0, begin, n), expert.a.t());
    h.mul_((weights.narrow(0, begin, n) * expert.scale).to(h.scalar_type()));
    auto out = sorted_y.narrow(0, begin, n);
    at::mm_out(out, h, expert.b.t());
    begin += n;
  }
  // Back to token order, then a sum over the k in that order: no scattered additions.
  const auto inverse = at::empty_like(order).scatter_(0, order, at::arange(order.size(0), order.options()));
  y.add_(sorted_y.index_select(0, inverse).view({x.size(0), k, y.size(1)}).sum(1));
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
  std::vector<at::Tensor> a, bt, columns;
  std::vector<float> scales(experts.size(), 0);
  for (size_t z = 0; z < experts.size(); ++z) {
    if (!experts[z].a.defined()) continue;
    a.push_back(experts[z].a);
    bt.push_back(experts[z].b.t());
    columns.push_back(at::full({experts[z].a.size(0)}, static_cast<int64_t>(z), at::kLong));
    scales[z] = static_cast<float>(experts[z].scale);
  }
  site.experts = std::move(experts);
  if (a.empty()) return site;
  site.stacked_a = at::cat(a);
  site.stacked_bt = at::cat(bt);
  const auto device = site.stacked_a.device();
  site.column_expert = at::cat(columns).to(device);
  site.scales = at::tensor(scales, at::kFloat).to(device);
  int64_t row = 0;
  for (LowRank& expert : site.experts) {
    if (!expert.a.defined()) continue;
    const int64_t rank = expert.a.size(0);
    expert.a = site.stacked_a.narrow(0, row, rank);
    expert.b = site.stacked_bt.narrow(0, row, rank).t();
    row += rank;
  }
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
  site.candidate_ids = at::tensor(ids, at::kLong).to(device);
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

TokenRouting route(const at::Tensor& x, const RoutedSite& site, Scoring scoring, int64_t k) {
  const auto candidates = static_cast<int64_t>(site.candidates.size());
  if (candidates == 0)
    return {at::empty({x.size(0), 0}, x.options().dtype(at::kLong)),
            at::empty({x.size(0), 0}, x.options().dtype(at::kFloat))};
  if (on_cpu(x)) return route_rows(x, site, scoring, k);
  const auto rows = scoring == Scoring::phatgoose ? standardise(x.to(at::kFloat)) : x.to(at::kFloat);
  auto scores = at::matmul(rows, site.directions.t());
  const double root = std::sqrt(static_cast<double>(x.size(1)));
  if (scoring == Scoring::phatgoose) scores.div_(root);
  if (scoring == Scoring::arrow_mttl) scores.abs_();
  if (scoring == Scoring::arrow_phatgoose) scores.abs_().div_(10 * root);
  if (site.direction_of.defined()) scores = scores.index_select(1, site.direction_of);
  // A stable sort, not topk: equal scores keep the order of the expert numbers.
  auto [sorted, order] = at::sort(scores, /*stable=*/true, /*dim=*/1, /*descending=*/true);
  if (k > 0 && k < candidates) {
    sorted = sorted.narrow(1, 0, k);
    order = order.narrow(1, 0, k);
  }
  return {site.candidate_ids.index_select(0, order.flatten()).view(order.sizes()), at::softmax(sorted, 1)};
}

void add_routed(const at::Tensor& x, at::Tensor& y, const RoutedSite& site, const TokenRouting& routed) {
  if (x.size(0) == 0 || routed.experts.size(1) == 0) return;
  if (on_cpu(x) && on_cpu(y)) return add_routed_rows(x, y, site, routed);
  const bool all = routed.experts.size(1) == static_cast<int64_t>(site.candidates.size());
  if (all || site.stacked_a.size(0) <= stacked_columns)
    add_stacked(x, y, site, routed);
  else
    add_sorted(x, y, site, routed);
}

void add_weights(const TokenRouting& routed, at::Tensor& sums) {
  if (!sums.is_cpu()) {
    // Not bincount: with weights it has no deterministic form on CUDA.
    sums += at::zeros_like(sums).index_add_(0, routed.experts.flatten(), routed.weights.flatten().to(at::kDouble));
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
