// Which products a micro-batch takes, and the passes; skill_gradients.cpp is what becomes of the gradients.
#include "kernel/skill_products.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "kernel/skill_mixing.h"
#include "kernel/upload.h"

namespace gaggle {
namespace {

// [R, M, h, K]
at::Tensor weights_of(std::span<SkillMixture* const> mixtures) {
  std::vector<at::Tensor> all;
  for (const SkillMixture* m : mixtures) all.push_back(m->weights.w);
  return at::stack(all, 1).contiguous();
}

}  // namespace

at::Tensor member_by_token(const std::vector<Segment>& segments, at::Device device) {
  std::vector<int64_t> members;
  for (const Segment& s : segments) members.insert(members.end(), static_cast<size_t>(s.end - s.begin), s.member);
  return to_device(members, device);
}

SkillProducts::SkillProducts(std::vector<SkillSite> sites, at::ScalarType type)
    : sites_(std::move(sites)), type_(type), stacked_(sites_.size()), joined_(sites_.size()) {
  GAGGLE_CHECK(!sites_.empty());
  wide_ = sites_[0].a.options();
  for (const SkillSite& site : sites_) {
    pair_begin_.push_back(pair_values_);
    pair_values_ += (site.d_in + site.d_out) * site.rank;
  }
}

void SkillProducts::refresh() {
  stacked_.assign(sites_.size(), {});
  gradients_ = even_gradients_ = at::Tensor();
}

void SkillProducts::set_gradients(size_t site, const at::Tensor& a, const at::Tensor& b) {
  SkillSite& s = sites_[site];
  s.grad_a = a.defined() ? a.view(s.a.sizes()) : a;
  s.grad_b = b.defined() ? b.view(s.b.sizes()) : b;
}

void SkillProducts::begin(std::vector<SkillMixture*> mixtures, BySide<MixtureTokens> tokens, bool of_samples) {
  add_gradients();  // of the micro-batch before
  mixtures_ = std::move(mixtures);
  tokens_ = std::move(tokens);
  of_samples_ = of_samples;
  foreign_ = {};
  // The tokens of a mixture at a site: of either side, where there are two.
  const size_t read_by = mixtures_.size() * (tokens_.encoder.count > 0 ? 2 : 1);
  const double per_mixture =
      static_cast<double>(tokens_.decoder.count + tokens_.encoder.count) / static_cast<double>(read_by);
  is_stacked_ = of_samples && !mixing_is_cheaper(per_mixture, type_, wide_.device());
  if (is_stacked_) return begin_stacked();
  std::vector<SkillMixture*> unmixed;
  for (SkillMixture* m : mixtures_)
    if (m->pairs.empty()) unmixed.push_back(m);
  if (!unmixed.empty()) mix(unmixed);
  for (size_t s = 0; s < sites_.size(); ++s) join(s);
}

void SkillProducts::begin_stacked() {
  for (const Side side : sides) mixture_by_token_[side] = member_by_token(tokens_[side].segments, wide_.device());
  weights_ = weights_of(mixtures_);
  d_weights_ = at::zeros_like(weights_);
  for (size_t s = 0; s < sites_.size(); ++s) {
    if (stacked_[s].a.defined()) continue;
    const SkillSite& site = sites_[s];
    const int64_t heads = site.a.size(0), skills = site.a.size(1);
    stacked_[s].a = site.a.to(type_).view({heads, skills, site.d_in / heads, site.rank});
    stacked_[s].b = site.b.to(type_).view({heads, skills, site.rank, site.d_out / heads});
    stacked_[s].scale = site.scale;
  }
}

void SkillProducts::mix(std::span<SkillMixture* const> mixtures) {
  const at::Tensor w = weights_of(mixtures);
  const auto count = static_cast<int64_t>(mixtures.size());
  for (const SkillSite& site : sites_) {
    const at::Tensor at_site = w[site.router];
    const int64_t heads = site.a.size(0);
    const at::Tensor a = mix_skills(site.a, at_site, type_).view({count, site.d_in, site.rank});
    const at::Tensor b = mix_skills(site.b, at_site, type_)
                             .view({count, heads, site.rank, site.d_out / heads})
                             .transpose(1, 2)
                             .reshape({count, site.rank, site.d_out});
    for (int64_t m = 0; m < count; ++m)
      mixtures[static_cast<size_t>(m)]->pairs.push_back({a[m].t(), b[m].t(), site.scale, {}});
  }
}

void SkillProducts::join(size_t number) {
  const SkillSite& site = sites_[number];
  joined_[number] = {};
  if (mixtures_.size() < 2 || !joining_is_cheaper(tokens_[site.side].count, site.rank, type_, wide_.device())) return;
  std::vector<at::Tensor> a, b;
  for (const SkillMixture* m : mixtures_) {
    a.push_back(m->pairs[number].a.t());
    b.push_back(m->pairs[number].b.t());
  }
  joined_[number] = {at::cat(a, 1), at::cat(b, 0), site.scale};
}

// The columns of joined pairs that do not count for a token: those of other mixtures, or with `even` all of
// them but for the tokens of even samples.
const at::Tensor& SkillProducts::foreign(const SkillSite& site, bool even) {
  const MixtureTokens& tokens = tokens_[site.side];
  at::Tensor& mask = foreign_[site.side][{site.rank, even}];
  if (!mask.defined())
    mask = foreign_columns(even ? tokens.even_segments : tokens.segments, static_cast<int64_t>(mixtures_.size()),
                           site.rank, tokens.count, wide_.device());
  return mask;
}

at::Tensor SkillProducts::weights_by_token(const SkillSite& site) const {
  return weights_[site.router].index_select(0, mixture_by_token_[site.side]);
}

std::vector<LowRank> SkillProducts::pairs_at(size_t site) const {
  std::vector<LowRank> pairs;
  for (const SkillMixture* m : mixtures_) pairs.push_back(m->pairs[site]);
  return pairs;
}

void SkillProducts::forward(size_t number, const at::Tensor& x, at::Tensor& y) {
  const SkillSite& site = sites_[number];
  if (is_stacked_) return stacked_skills_forward(x, y, weights_by_token(site), stacked_[number]);
  if (joined_[number].a.defined()) return joined_lowrank_forward(x, y, joined_[number], foreign(site, /*even=*/false));
  segmented_lowrank_forward(x, y, tokens_[site.side].segments, pairs_at(number));
}

void SkillProducts::backward(size_t number, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx,
                             GradientWatch& watch) {
  for (SkillMixture* m : mixtures_) m->touched = true;
  if (is_stacked_) return backward_stacked(number, x, dy, dx, watch);
  backward_pairs(number, x, dy, dx, /*even=*/false);
  if (!watch.halves || of_samples_) return;
  const Stopwatch watching(watch.seconds());
  backward_pairs(number, x, dy, {}, /*even=*/true);
}

LowRankGrad SkillProducts::gradient_at(size_t number, at::Tensor& flat) const {
  if (!flat.defined()) flat = at::zeros({pair_values_}, wide_);
  const SkillSite& s = sites_[number];
  const int64_t begin = pair_begin_[number], b_begin = begin + s.d_in * s.rank;
  return {flat.narrow(0, begin, s.d_in * s.rank).view({s.d_in, s.rank}).t(),
          flat.narrow(0, b_begin, s.d_out * s.rank).view({s.rank, s.d_out}).t(),
          {}};
}

void SkillProducts::backward_pairs(size_t number, const at::Tensor& x, const at::Tensor& dy, at::Tensor dx, bool even) {
  const SkillSite& site = sites_[number];
  if (!joined_[number].a.defined()) {
    std::vector<LowRankGrad> to;
    for (SkillMixture* m : mixtures_) to.push_back(gradient_at(number, even ? m->even_gradient : m->gradient));
    const MixtureTokens& tokens = tokens_[site.side];
    return segmented_lowrank_backward(x, dy, dx, even ? tokens.even_segments : tokens.segments, pairs_at(number), to);
  }
  const JoinedGrad grad = joined_lowrank_backward(x, dy, dx, joined_[number], foreign(site, even));
  const auto count = static_cast<int64_t>(mixtures_.size());
  at::Tensor& all = even ? even_gradients_ : gradients_;
  if (!all.defined()) all = at::zeros({count, pair_values_}, wide_);
  const int64_t begin = pair_begin_[number], of_a = site.d_in * site.rank, of_b = site.rank * site.d_out;
  all.narrow(1, begin, of_a)
      .unflatten(1, {site.d_in, site.rank})
      .add_(grad.a.view({site.d_in, count, site.rank}).transpose(0, 1), site.scale);
  all.narrow(1, begin + of_a, of_b)
      .unflatten(1, {site.rank, site.d_out})
      .add_(grad.b.view({count, site.rank, site.d_out}), site.scale);
}

// What joined passes of this micro-batch left, to each mixture's own: not by site, which would be launches for each.
void SkillProducts::add_gradients() {
  const c10::InferenceMode as_in_the_passes;  // what they left may only be changed in it
  for (const bool even : {false, true}) {
    const at::Tensor all = std::exchange(even ? even_gradients_ : gradients_, at::Tensor());
    if (!all.defined()) continue;
    std::vector<at::Tensor> to, from;
    for (size_t m = 0; m < mixtures_.size(); ++m) {
      at::Tensor& gradient = even ? mixtures_[m]->even_gradient : mixtures_[m]->gradient;
      const at::Tensor row = all[static_cast<int64_t>(m)];
      if (!gradient.defined()) {
        gradient = row;
        continue;
      }
      to.push_back(gradient);
      from.push_back(row);
    }
    if (!to.empty()) at::_foreach_add_(to, from);
  }
}

void SkillProducts::backward_stacked(size_t number, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx,
                                     GradientWatch& watch) {
  const SkillSite& site = sites_[number];
  const StackedSkills& skills = stacked_[number];
  const at::Tensor w = weights_by_token(site);
  StackedGrad grad;
  grad.w = at::zeros_like(w);
  if (site.grad_a.defined()) {
    grad.a = site.grad_a.view(skills.a.sizes());
    grad.b = site.grad_b.view(skills.b.sizes());
  }
  stacked_skills_backward(x, dy, dx, w, skills, grad);
  d_weights_[site.router].index_add_(0, mixture_by_token_[site.side], grad.w);
  if (watch.on()) show_stacked(number, x, dy, w, watch);
}

// [M, h, n] of A and of B.
SkillProducts::Gradients SkillProducts::mixed_gradients(size_t number, std::span<SkillMixture* const> mixtures,
                                                        bool even) const {
  const SkillSite& s = sites_[number];
  const int64_t heads = s.a.size(0);
  std::vector<at::Tensor> a, b;
  for (SkillMixture* m : mixtures) {
    const LowRankGrad grad = gradient_at(number, even ? m->even_gradient : m->gradient);
    a.push_back(grad.a.t().view({heads, -1}));
    b.push_back(grad.b.t().view({s.rank, heads, s.d_out / heads}).transpose(0, 1));
  }
  const auto count = static_cast<int64_t>(mixtures.size());
  return {at::stack(a), at::stack(b).contiguous().view({count, heads, -1})};
}

at::Tensor SkillProducts::finish(std::span<SkillMixture* const> mixtures, GradientWatch& watch) {
  add_gradients();
  if (!is_stacked_) {
    const at::Tensor w = weights_of(mixtures);
    d_weights_ = at::zeros_like(w);
    for (size_t s = 0; s < sites_.size(); ++s) {
      const SkillSite& site = sites_[s];
      const Gradients gradients = mixed_gradients(s, mixtures, false);
      mix_skills_backward(gradients.a, site.a, w[site.router], site.grad_a, d_weights_[site.router]);
      mix_skills_backward(gradients.b, site.b, w[site.router], site.grad_b, d_weights_[site.router]);
    }
    if (watch.on()) {
      const Stopwatch watching(watch.seconds());
      of_samples_ ? show_samples(mixtures, w, watch) : show_tasks(mixtures, watch);
    }
  }
  std::vector<at::Tensor> done;
  for (SkillMixture* m : mixtures) {
    m->touched = false;
    for (const at::Tensor& gradient : {m->gradient, m->even_gradient})
      if (gradient.defined()) done.push_back(gradient);
  }
  if (!done.empty()) at::_foreach_zero_(done);
  return d_weights_;
}

}  // namespace gaggle
