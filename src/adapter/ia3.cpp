#include "adapter/ia3.h"

#include <c10/core/InferenceMode.h>

#include "base/error.h"
#include "kernel/dispatch.h"
#include "kernel/skill_mixing.h"

namespace gaggle {

bool rescales_input(const Site& site) {
  return site.kind == "down_proj";
}

int64_t rescaled_width(const Site& site) {
  return rescales_input(site) ? site.d_in : site.d_out;
}

Ia3Adapter::Ia3Adapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule, at::Device device)
    : SkillAdapter(std::move(spec), values, schedule, device) {
  GAGGLE_CHECK(spec_.skill == SkillKind::rescaling);
  for (const LoraSite& s : spec_.sites) {
    const auto index = static_cast<size_t>(s.site.index);
    if (place_of_site_.size() <= index) place_of_site_.resize(index + 1, -1);
    place_of_site_[index] = static_cast<int>(places_.size());
    Place& place = places_.emplace_back();
    place.site = s.site;
    place.of_input = rescales_input(s.site);
    place.router = router_of(s.site);
    place.skills = tensor(s.site.name + ".poly_ia3_l");
  }
}

Ia3Adapter::Place* Ia3Adapter::place_of(const Site& site) {
  const auto index = static_cast<size_t>(site.index);
  if (index >= place_of_site_.size() || place_of_site_[index] < 0) return nullptr;
  return &places_[static_cast<size_t>(place_of_site_[index])];
}

at::Tensor Ia3Adapter::by_row(const Place& place) const {
  return members_.size() == 1 ? place.l : place.l.index_select(0, row_member_);
}

void Ia3Adapter::set_gradients(const at::Tensor& flat) {
  SkillAdapter::set_gradients(flat);
  wanted_ = flat.defined();
  for (Place& place : places_) place.gradient = gradient_of(flat, place.site.name + ".poly_ia3_l");
}

void Ia3Adapter::begin(const Rows& rows) {
  finish_gradients();  // of the micro-batch before
  Members members = members_of(rows);
  members_ = std::move(members.all);
  routing_.clear();
  std::vector<at::Tensor> w;
  for (const Members::Member& member : members_) {
    routing_.push_back(draw_weights(member.task, member.sample));
    w.push_back(routing_.back().w);
  }
  weights_ = at::stack(w, 1).contiguous();
  std::vector<int64_t> member_of_row;
  for (const Segment& segment : members.segments)
    member_of_row.insert(member_of_row.end(), static_cast<size_t>(segment.end - segment.begin), segment.member);
  row_member_ = at::tensor(member_of_row, at::kLong).to(values_.device());
  const auto count = static_cast<int64_t>(members_.size());
  if (wanted_)
    member_rows_ = at::zeros({count, rows.count()}, values_.options()).scatter_(0, row_member_.unsqueeze(0), 1);
  for (Place& place : places_) {
    const at::Tensor its = weights_[static_cast<int64_t>(place.router)];
    place.l = mix_skills(place.skills, its, values_.scalar_type()).view({count, -1});
  }
}

at::Tensor Ia3Adapter::rescaled_input(const Site& site, const at::Tensor& x) {
  const Place* place = place_of(site);
  if (!place || !place->of_input) return x;
  at::Tensor rescaled = at::empty_like(x);  // in x's type, multiplied in l's
  return at::mul_out(rescaled, x, by_row(*place));
}

void Ia3Adapter::forward(const Site& site, const at::Tensor&, at::Tensor& y) {
  Place* place = place_of(site);
  if (!place || place->of_input) return;
  if (wanted_) place->output = y.clone();
  y.mul_(by_row(*place));
}

at::Tensor Ia3Adapter::rescaled_gradient(const Site& site, const at::Tensor& dy) {
  const Place* place = place_of(site);
  if (!place || place->of_input) return dy;
  at::Tensor rescaled = at::empty_like(dy);
  return at::mul_out(rescaled, dy, by_row(*place));
}

void Ia3Adapter::backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) {
  Place* place = place_of(site);
  if (!place) return;
  if (wanted_)  // Σ_t dy ∘ (W x), or Σ_t (Wᵀ dy) ∘ x
    place->d_l = at::mm(member_rows_, place->of_input ? widened(dx) * x : widened(dy) * place->output);
  place->output.reset();
  if (place->of_input) dx.mul_(by_row(*place));
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
    place.d_l.reset();
  }
  if (!d_weights.defined()) return;
  for (size_t m = 0; m < members_.size(); ++m)
    add_routing_gradient(members_[m].task, routing_[m], d_weights.select(1, static_cast<int64_t>(m)));
}

}  // namespace gaggle
