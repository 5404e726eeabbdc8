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

int64_t rescaled_width(const Site& site) { return site.reads_activation ? site.d_in : site.d_out; }

at::Tensor rescaled(const at::Tensor& x, const at::Tensor& l) {
  at::Tensor out = at::empty_like(x);
  return at::mul_out(out, x, l);
}

Ia3Adapter::Ia3Adapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule, at::Device device)
    : SkillAdapter(std::move(spec), values, schedule, device) {
  GAGGLE_CHECK(spec_.skill == SkillKind::rescaling);
  for (const LoraSite& s : spec_.sites) {
    RescaledSite& entry = rescaled_sites_.emplace_back();
    entry.site = s.site;
    entry.router = router_of_[rescaled_sites_.size() - 1];
    entry.skills = tensor(s.site.name + ".poly_ia3_l");
  }
}

Ia3Adapter::RescaledSite* Ia3Adapter::rescaled_site(const Site& site) {
  const int number = number_of(site);
  return number < 0 ? nullptr : &rescaled_sites_[static_cast<size_t>(number)];
}

at::Tensor Ia3Adapter::by_token(const RescaledSite& entry) const {
  return members_.size() == 1 ? entry.l : entry.l.index_select(0, token_members_[entry.site.side].by_token);
}

void Ia3Adapter::set_gradients(const at::Tensor& flat) {
  SkillAdapter::set_gradients(flat);
  wanted_ = flat.defined();
  for (RescaledSite& entry : rescaled_sites_) entry.gradient = gradient_of(flat, entry.site.name + ".poly_ia3_l");
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
  takes_gradients_ = wanted_ || watch_.on();
  for (const Side side : sides) {
    const TokenSequences& set = batch.side(side);
    TokenMembers& tokens = token_members_[side] = {member_by_token(members.segments[side], values_.device()), {}, {}};
    if (!takes_gradients_) continue;
    tokens.indicator = at::zeros({count, set.count()}, values_.options()).scatter_(0, tokens.by_token.unsqueeze(0), 1);
    if (!watch_.halves) continue;
    at::Tensor even = at::zeros({set.count()}, values_.options());
    for (const Segment& segment : set.even) even.narrow(0, segment.begin, segment.end - segment.begin).fill_(1);
    tokens.even = tokens.indicator * even;
  }
  for (RescaledSite& entry : rescaled_sites_)
    entry.l = mix_skills(entry.skills, weights_[entry.router], values_.scalar_type()).view({count, -1});
}

at::Tensor Ia3Adapter::rescaled_input(const Site& site, const at::Tensor& x) {
  const RescaledSite* entry = rescaled_site(site);
  if (!entry || !entry->site.reads_activation) return x;
  return rescaled(x, by_token(*entry));
}

void Ia3Adapter::forward(const Site& site, const at::Tensor&, at::Tensor& y) {
  RescaledSite* entry = rescaled_site(site);
  if (!entry || entry->site.reads_activation) return;
  if (takes_gradients_) entry->output = y.clone();
  y.mul_(by_token(*entry));
}

at::Tensor Ia3Adapter::rescaled_gradient(const Site& site, const at::Tensor& dy) {
  const RescaledSite* entry = rescaled_site(site);
  if (!entry || entry->site.reads_activation) return dy;
  return rescaled(dy, by_token(*entry));
}

void Ia3Adapter::backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) {
  RescaledSite* entry = rescaled_site(site);
  if (!entry) return;
  if (takes_gradients_) {  // Σ_t dy ∘ (W x), or Σ_t (Wᵀ dy) ∘ x
    const at::Tensor d_by_token = entry->site.reads_activation ? widened(dx) * x : widened(dy) * entry->output;
    const TokenMembers& tokens = token_members_[site.side];
    entry->d_l = at::mm(tokens.indicator, d_by_token);
    entry->even_d_l.reset();
    if (tokens.even.defined()) {
      const Stopwatch watching(watch_.seconds());
      entry->even_d_l = at::mm(tokens.even, d_by_token);
    }
  }
  entry->output.reset();
  if (entry->site.reads_activation) dx.mul_(by_token(*entry));
}

void Ia3Adapter::report(const RescaledSite& entry, const at::Tensor& d_l, bool even) {
  const Stopwatch watching(watch_.seconds());
  const auto number = static_cast<size_t>(&entry - rescaled_sites_.data());
  for (size_t m = 0; m < members_.size(); ++m) {
    at::Tensor gradient = d_l[static_cast<int64_t>(m)];
    if (per_example()) {
      const at::Tensor to = at::zeros_like(entry.skills);
      mix_skills_backward(gradient.view({1, spec_.heads, -1}), entry.skills,
                          weights_[entry.router].narrow(0, static_cast<int64_t>(m), 1), to, {});
      gradient = to.flatten();
    }
    watch_.show({members_[m].task, even, number, gradient});
  }
}

void Ia3Adapter::finish_gradients() {
  const c10::InferenceMode as_in_the_passes;  // what they left may only be changed in it
  at::Tensor d_weights;
  for (RescaledSite& entry : rescaled_sites_) {
    if (!entry.d_l.defined()) continue;
    if (!d_weights.defined()) d_weights = at::zeros_like(weights_);
    const auto count = static_cast<int64_t>(members_.size());
    mix_skills_backward(entry.d_l.view({count, spec_.heads, -1}), entry.skills, weights_[entry.router], entry.gradient,
                        d_weights[entry.router]);
    if (watch_.on()) report(entry, entry.d_l, false);
    if (entry.even_d_l.defined()) report(entry, entry.even_d_l, true);
    entry.d_l.reset();
  }
  if (!d_weights.defined()) return;
  for (size_t m = 0; m < members_.size(); ++m)
    add_routing_gradient(members_[m].task, routing_[m], d_weights.select(1, static_cast<int64_t>(m)));
}

}  // namespace gaggle
