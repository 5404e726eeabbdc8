#include "adapter/ia3.h"

#include <c10/core/InferenceMode.h>

#include "base/clock.h"
#include "base/error.h"
#include "kernel/dispatch.h"
#include "kernel/skill_mixing.h"

namespace gaggle {

std::vector<LoraSite> ia3_sites(const std::vector<Site>& sites, const std::vector<std::string>& targets) {
  std::vector<LoraSite> chosen = lora_sites(sites, targets, /*rank=*/1, /*alpha=*/1);
  if (targets.empty()) std::erase_if(chosen, [](const LoraSite& s) { return !s.site.rescaled; });
  return chosen;
}

int64_t rescaled_width(const Site& site) {
  return site.reads_activation ? site.d_in : site.d_out;
}

at::Tensor rescaled(const at::Tensor& x, const at::Tensor& l) {
  at::Tensor out = at::empty_like(x);
  return at::mul_out(out, x, l);
}

Ia3Adapter::Ia3Adapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule, at::Device device)
    : SkillAdapter(std::move(spec), values, schedule, device) {
  GAGGLE_CHECK(spec_.skill == SkillKind::rescaling);
  for (const LoraSite& s : spec_.sites) {
    Place& place = places_.emplace_back();
    place.site = s.site;
    place.router = router_of(s.site);
    place.skills = tensor(s.site.name + ".poly_ia3_l");
  }
}

Ia3Adapter::Place* Ia3Adapter::find(const Site& site) {
  const int place = place_of(site);
  return place < 0 ? nullptr : &places_[static_cast<size_t>(place)];
}

at::Tensor Ia3Adapter::by_row(const Place& place) const {
  return members_.size() == 1 ? place.l : place.l.index_select(0, row_members_[place.site.side].of_row);
}

void Ia3Adapter::set_gradients(const at::Tensor& flat) {
  SkillAdapter::set_gradients(flat);
  wanted_ = flat.defined();
  for (Place& place : places_) place.gradient = gradient_of(flat, place.site.name + ".poly_ia3_l");
}

void Ia3Adapter::begin(const Microbatch& batch) {
  finish_gradients();  // of the micro-batch before
  const Members members = members_of(batch);
  members_ = members.all;
  routing_.clear();
  std::vector<at::Tensor> w;
  for (const Members::Member& member : members_) {
    routing_.push_back(draw_weights(member.task, member.sample));
    w.push_back(routing_.back().w);
  }
  weights_ = at::stack(w, 1).contiguous();
  const auto count = static_cast<int64_t>(members_.size());
  takes_gradients_ = wanted_ || watched_;
  for (const Side side : sides) {
    const TokenSequences& set = batch.side(side);
    RowMembers& own = row_members_[side] = {member_by_row(members.segments[side]), {}, {}};
    if (!takes_gradients_) continue;
    own.rows = at::zeros({count, set.count()}, values_.options()).scatter_(0, own.of_row.unsqueeze(0), 1);
    if (!watched_) continue;
    at::Tensor even = at::zeros({set.count()}, values_.options());
    for (const Segment& segment : set.even) even.narrow(0, segment.begin, segment.end - segment.begin).fill_(1);
    own.even = own.rows * even;
  }
  for (Place& place : places_) {
    const at::Tensor its = weights_[static_cast<int64_t>(place.router)];
    place.l = mix_skills(place.skills, its, values_.scalar_type()).view({count, -1});
  }
}

at::Tensor Ia3Adapter::rescaled_input(const Site& site, const at::Tensor& x) {
  const Place* place = find(site);
  if (!place || !place->site.reads_activation) return x;
  return rescaled(x, by_row(*place));
}

void Ia3Adapter::forward(const Site& site, const at::Tensor&, at::Tensor& y) {
  Place* place = find(site);
  if (!place || place->site.reads_activation) return;
  if (takes_gradients_) place->output = y.clone();
  y.mul_(by_row(*place));
}

at::Tensor Ia3Adapter::rescaled_gradient(const Site& site, const at::Tensor& dy) {
  const Place* place = find(site);
  if (!place || place->site.reads_activation) return dy;
  return rescaled(dy, by_row(*place));
}

void Ia3Adapter::backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) {
  Place* place = find(site);
  if (!place) return;
  if (takes_gradients_) {  // Σ_t dy ∘ (W x), or Σ_t (Wᵀ dy) ∘ x
    const at::Tensor by_row = place->site.reads_activation ? widened(dx) * x : widened(dy) * place->output;
    const RowMembers& own = row_members_[site.side];
    place->d_l = at::mm(own.rows, by_row);
    place->even_d_l.reset();
    if (own.even.defined()) {
      const Stopwatch watching(watching_seconds_);
      place->even_d_l = at::mm(own.even, by_row);
    }
  }
  place->output.reset();
  if (place->site.reads_activation) dx.mul_(by_row(*place));
}

void Ia3Adapter::report(const Place& place, const at::Tensor& d_l, bool even) {
  const Stopwatch watching(watching_seconds_);
  const auto number = static_cast<size_t>(&place - places_.data());
  for (size_t m = 0; m < members_.size(); ++m) {
    at::Tensor gradient = d_l[static_cast<int64_t>(m)];
    if (per_example()) {
      const at::Tensor to = at::zeros_like(place.skills);
      mix_skills_backward(gradient.view({1, spec_.heads, -1}), place.skills,
                          weights_[static_cast<int64_t>(place.router)].narrow(0, static_cast<int64_t>(m), 1),
                          to, {});
      gradient = to.flatten();
    }
    watched_({members_[m].task, even, number, gradient});
  }
}

void Ia3Adapter::finish_gradients() {
  const c10::InferenceMode as_in_the_passes;  // what they left may only be changed in it
  at::Tensor d_weights;
  for (Place& place : places_) {
    if (!place.d_l.defined()) continue;
    if (!d_weights.defined()) d_weights = at::zeros_like(weights_);
    const auto router = static_cast<int64_t>(place.router);
    const auto count = static_cast<int64_t>(members_.size());
    mix_skills_backward(place.d_l.view({count, spec_.heads, -1}), place.skills, weights_[router],
                        place.gradient, d_weights[router]);
    if (place.even_d_l.defined()) {
      report(place, place.d_l, false);
      report(place, place.even_d_l, true);
    }
    place.d_l.reset();
  }
  if (!d_weights.defined()) return;
  for (size_t m = 0; m < members_.size(); ++m)
    add_routing_gradient(members_[m].task, routing_[m], d_weights.select(1, static_cast<int64_t>(m)));
}

}  // namespace gaggle
