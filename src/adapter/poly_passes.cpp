// The passes of Poly / MHR in training, and what becomes of their gradients; poly_watch.cpp shows them.
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>

#include "adapter/poly_adapter.h"
#include "base/clock.h"
#include "base/error.h"
#include "kernel/skill_mixing.h"

namespace gaggle {
namespace {

at::Tensor at_router(const at::Tensor& by_router, size_t router) {
  return by_router[static_cast<int64_t>(router)];
}

}  // namespace

void PolyAdapter::forward(const Site& site, const at::Tensor& x, at::Tensor& y) {
  const int found = place_of(site);
  if (found < 0) return;
  const auto number = static_cast<size_t>(found);
  const Place& place = places_[number];
  const RowMixtures& rows = rows_[site.side];
  if (stacked_) {
    const at::Tensor w = at_router(weights_, place.router).index_select(0, rows.mixture);
    return stacked_skills_forward(x, y, w, place.stacked);
  }
  if (place.joined.a.defined())
    return joined_lowrank_forward(x, y, place.joined, rows.foreign.at(place.lora.rank));
  std::vector<LowRank> pairs;
  for (const Mixture* m : active_) pairs.push_back(m->pairs[number]);
  segmented_lowrank_forward(x, y, rows.segments, pairs);
}

LowRankGrad PolyAdapter::gradient_views(const Place& place, at::Tensor& flat) const {
  if (!flat.defined()) flat = at::zeros({mixed_size_}, values_.options());
  const LoraSite& s = place.lora;
  return {flat.narrow(0, place.at_a, s.site.d_in * s.rank).view({s.site.d_in, s.rank}).t(),
          flat.narrow(0, place.at_b, s.site.d_out * s.rank).view({s.rank, s.site.d_out}).t(),
          {}};
}

void PolyAdapter::backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) {
  const int found = place_of(site);
  if (found < 0) return;
  const auto number = static_cast<size_t>(found);
  const Place& place = places_[number];
  for (Mixture* m : active_) m->touched = true;
  if (stacked_) return backward_stacked(place, x, dy, dx);
  const bool halves = watched_ && !per_example();
  if (place.joined.a.defined()) {
    backward_joined(place, x, dy, dx, /*even=*/false);
    if (!halves) return;
    const Stopwatch watching(watching_seconds_);
    return backward_joined(place, x, dy, {}, /*even=*/true);
  }
  std::vector<LowRank> pairs;
  std::vector<LowRankGrad> grads, even;
  for (Mixture* m : active_) {
    pairs.push_back(m->pairs[number]);
    grads.push_back(gradient_views(place, m->gradient));
    if (halves) even.push_back(gradient_views(place, m->even));
  }
  segmented_lowrank_backward(x, dy, dx, rows_[site.side].segments, pairs, grads);
  if (!halves) return;
  const Stopwatch watching(watching_seconds_);
  segmented_lowrank_backward(x, dy, {}, rows_[site.side].even_segments, pairs, even);
}

void PolyAdapter::backward_joined(const Place& place, const at::Tensor& x, const at::Tensor& dy, at::Tensor dx,
                                  bool even) {
  const int64_t rank = place.lora.rank;
  const RowMixtures& rows = rows_[place.lora.site.side];
  const JoinedGrad grad =
      joined_lowrank_backward(x, dy, dx, place.joined, (even ? rows.not_even : rows.foreign).at(rank));
  for (size_t m = 0; m < active_.size(); ++m) {
    const int64_t begin = static_cast<int64_t>(m) * rank;
    const LowRankGrad to = gradient_views(place, even ? active_[m]->even : active_[m]->gradient);
    to.a.t().add_(grad.a.narrow(1, begin, rank), place.joined.scale);
    to.b.t().add_(grad.b.narrow(0, begin, rank), place.joined.scale);
  }
}

void PolyAdapter::backward_stacked(const Place& place, const at::Tensor& x, const at::Tensor& dy,
                                   at::Tensor& dx) {
  const at::Tensor& row_mixture = rows_[place.lora.site.side].mixture;
  const at::Tensor w = at_router(weights_, place.router).index_select(0, row_mixture);
  StackedGrad grad;
  grad.w = at::zeros_like(w);
  if (place.grad_a.defined()) {
    grad.a = place.grad_a.view(place.stacked.a.sizes());
    grad.b = place.grad_b.view(place.stacked.b.sizes());
  }
  stacked_skills_backward(x, dy, dx, w, place.stacked, grad);
  at_router(d_weights_, place.router).index_add_(0, row_mixture, grad.w);
  if (watched_) report_stacked(place, x, dy, w);
}

// [M, h, n] of A and of B.
std::vector<at::Tensor> PolyAdapter::mixed_gradients(const Place& place, std::span<Mixture* const> mixtures,
                                                     bool even) const {
  const LoraSite& s = place.lora;
  std::vector<at::Tensor> a, b;
  for (const Mixture* m : mixtures) {
    const at::Tensor& flat = even ? m->even : m->gradient;
    a.push_back(flat.narrow(0, place.at_a, s.site.d_in * s.rank).view({spec_.heads, -1}));
    b.push_back(flat.narrow(0, place.at_b, s.site.d_out * s.rank)
                    .view({s.rank, spec_.heads, s.site.d_out / spec_.heads})
                    .transpose(0, 1));
  }
  const auto count = static_cast<int64_t>(mixtures.size());
  return {at::stack(a), at::stack(b).contiguous().view({count, spec_.heads, -1})};
}

void PolyAdapter::flush_skills(std::span<Mixture* const> mixtures, const at::Tensor& w) {
  for (const Place& place : places_) {
    const auto gradients = mixed_gradients(place, mixtures, false);
    const at::Tensor its = at_router(w, place.router), d_w = at_router(d_weights_, place.router);
    const auto as_heads = [&](const at::Tensor& grad, const at::Tensor& skills) {
      return grad.defined() ? grad.view(skills.sizes()) : grad;
    };
    mix_skills_backward(gradients[0], place.a, its, as_heads(place.grad_a, place.a), d_w);
    mix_skills_backward(gradients[1], place.b, its, as_heads(place.grad_b, place.b), d_w);
  }
}

void PolyAdapter::flush_routers(std::span<Mixture* const> mixtures) {
  for (size_t m = 0; m < mixtures.size(); ++m)
    add_routing_gradient(mixtures[m]->task, mixtures[m]->weights,
                         d_weights_.select(1, static_cast<int64_t>(m)));
}

void PolyAdapter::finish_gradients() {
  const c10::InferenceMode as_in_the_passes;  // what they left may only be changed in it
  std::vector<Mixture*> touched;
  if (per_example())
    std::ranges::copy_if(std::exchange(active_, {}), std::back_inserter(touched), &Mixture::touched);
  else
    for (auto& [task, m] : mixtures_)
      if (m.touched) touched.push_back(&m);
  if (touched.empty()) return;
  if (!stacked_) {
    const at::Tensor w = stacked_weights(touched);
    d_weights_ = at::zeros_like(w);
    flush_skills(touched, w);
    if (watched_ && per_example()) report_skills(touched, w);
    if (watched_ && !per_example()) report_mixed(touched);
  }
  flush_routers(touched);
  for (Mixture* m : touched) {
    m->touched = false;
    for (at::Tensor* gradient : {&m->gradient, &m->even})
      if (gradient->defined()) gradient->zero_();
  }
}

}  // namespace gaggle
