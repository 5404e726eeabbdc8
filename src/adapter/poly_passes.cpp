// The passes of Poly / MHR in training, and what becomes of their gradients.
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>

#include "adapter/poly_adapter.h"
#include "base/error.h"
#include "kernel/skill_mixing.h"

namespace gaggle {
namespace {

at::Tensor at_router(const at::Tensor& by_router, size_t router) {
  return by_router[static_cast<int64_t>(router)];
}

}  // namespace

void PolyAdapter::forward(const Site& site, const at::Tensor& x, at::Tensor& y) {
  const auto index = static_cast<size_t>(site.index);
  if (index >= place_of_site_.size() || place_of_site_[index] < 0) return;
  const auto number = static_cast<size_t>(place_of_site_[index]);
  const Place& place = places_[number];
  if (stacked_) {
    const at::Tensor w = at_router(weights_, place.router).index_select(0, row_mixture_);
    return stacked_skills_forward(x, y, w, place.stacked);
  }
  std::vector<LowRank> pairs;
  for (const Mixture* m : active_) pairs.push_back(m->pairs[number]);
  segmented_lowrank_forward(x, y, segments_, pairs);
}

LowRankGrad PolyAdapter::gradient_views(const Place& place, at::Tensor& flat) const {
  if (!flat.defined()) flat = at::zeros({mixed_size_}, values_.options());
  const LoraSite& s = place.lora;
  return {flat.narrow(0, place.at_a, s.site.d_in * s.rank).view({s.site.d_in, s.rank}).t(),
          flat.narrow(0, place.at_b, s.site.d_out * s.rank).view({s.rank, s.site.d_out}).t(),
          {}};
}

void PolyAdapter::backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) {
  const auto index = static_cast<size_t>(site.index);
  if (index >= place_of_site_.size() || place_of_site_[index] < 0) return;
  const auto number = static_cast<size_t>(place_of_site_[index]);
  const Place& place = places_[number];
  for (Mixture* m : active_) m->touched = true;
  if (stacked_) return backward_stacked(place, x, dy, dx);
  std::vector<LowRank> pairs;
  std::vector<LowRankGrad> grads, even;
  for (Mixture* m : active_) {
    pairs.push_back(m->pairs[number]);
    grads.push_back(gradient_views(place, m->gradient));
    if (watched_ && !per_example()) even.push_back(gradient_views(place, m->even));
  }
  segmented_lowrank_backward(x, dy, dx, segments_, pairs, grads);
  if (!even.empty()) segmented_lowrank_backward(x, dy, {}, even_segments_, pairs, even);
}

StackedGrad PolyAdapter::watched_views(const Place& place, std::map<int, at::Tensor>& watched, int task) const {
  at::Tensor& flat = watched[task];
  if (!flat.defined()) flat = at::zeros({watched_size()}, values_.options());
  const int64_t k = spec_.skills;
  return {flat.narrow(0, place.at_a * k, place.a.numel()).view(place.a.sizes()),
          flat.narrow(0, place.at_b * k, place.b.numel()).view(place.b.sizes()),
          {}};
}

void PolyAdapter::backward_stacked(const Place& place, const at::Tensor& x, const at::Tensor& dy,
                                   at::Tensor& dx) {
  const at::Tensor w = at_router(weights_, place.router).index_select(0, row_mixture_);
  StackedGrad grad;
  grad.w = at::zeros_like(w);
  if (place.grad_a.defined()) {
    grad.a = place.grad_a.view(place.stacked.a.sizes());
    grad.b = place.grad_b.view(place.stacked.b.sizes());
  }
  stacked_skills_backward(x, dy, dx, w, place.stacked, grad);
  at_router(d_weights_, place.router).index_add_(0, row_mixture_, grad.w);
  if (!watched_) return;
  const auto watch = [&](const std::vector<Segment>& segments, std::map<int, at::Tensor>& watched) {
    for (const Segment& s : segments) {
      const int64_t n = s.end - s.begin;
      if (n == 0) continue;
      StackedGrad to = watched_views(place, watched, s.member);
      to.a = to.a.view(place.stacked.a.sizes());
      to.b = to.b.view(place.stacked.b.sizes());
      stacked_skills_backward(x.narrow(0, s.begin, n), dy.narrow(0, s.begin, n), {}, w.narrow(0, s.begin, n),
                              place.stacked, to);
    }
  };
  watch(task_segments_, watched_->all);
  watch(even_task_segments_, watched_->even);
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
  const double temperature = sampling_now_ == Sampling::none ? 1 : schedule_.temperature;
  for (size_t m = 0; m < mixtures.size(); ++m) {
    if (!mixtures[m]->weights.z.defined()) return;  // fixed routing
    const at::Tensor d_w = d_weights_.select(1, static_cast<int64_t>(m));
    const at::Tensor d = logits_gradient(mixtures[m]->weights, d_w, kept_, temperature);  // [R, h·K]
    for (size_t r = 0; r < routers_.size(); ++r)
      if (routers_[r].gradient.defined())
        routers_[r].gradient[mixtures[m]->task].add_(d[static_cast<int64_t>(r)]);
  }
}

std::vector<WatchedSite> PolyAdapter::watched_sites() const {
  std::vector<WatchedSite> sites;
  for (const Place& place : places_)
    sites.push_back(
        {place.lora.site, place.lora.rank, place.at_a * (per_example() ? spec_.skills : 1), place.router});
  return sites;
}

void PolyAdapter::report_mixed(std::span<Mixture* const> mixtures) {
  for (const Mixture* m : mixtures) watched_->weights[m->task] = m->weights.w;
  const auto add = [&](std::map<int, at::Tensor>& watched, bool even) {
    for (const Place& place : places_) {
      const auto gradients = mixed_gradients(place, mixtures, even);
      for (size_t m = 0; m < mixtures.size(); ++m) {
        at::Tensor& flat = watched[mixtures[m]->task];
        if (!flat.defined()) flat = at::zeros({mixed_size_}, values_.options());
        const auto row = static_cast<int64_t>(m);
        flat.narrow(0, place.at_a, gradients[0][row].numel()).add_(gradients[0][row].flatten());
        flat.narrow(0, place.at_b, gradients[1][row].numel()).add_(gradients[1][row].flatten());
      }
    }
  };
  add(watched_->all, false);
  add(watched_->even, true);
}

void PolyAdapter::report_skills(std::span<Mixture* const> mixtures, const at::Tensor& w) {
  const auto add = [&](const Place& place, size_t m, std::map<int, at::Tensor>& watched) {
    const auto gradients = mixed_gradients(place, mixtures.subspan(m, 1), false);
    const at::Tensor its = at_router(w, place.router).narrow(0, static_cast<int64_t>(m), 1);
    const StackedGrad to = watched_views(place, watched, mixtures[m]->task);
    mix_skills_backward(gradients[0], place.a, its, to.a, {});
    mix_skills_backward(gradients[1], place.b, its, to.b, {});
  };
  for (size_t m = 0; m < mixtures.size(); ++m)
    for (const Place& place : places_) {
      add(place, m, watched_->all);
      if (mixtures[m]->of_even_sample) add(place, m, watched_->even);
    }
}

void PolyAdapter::finish_gradients() {
  const c10::InferenceMode no_autograd;  // as the passes that made the tensors here
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
