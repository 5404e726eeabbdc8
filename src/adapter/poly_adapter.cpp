#include "adapter/poly_adapter.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace gaggle {
namespace {

constexpr int64_t held_values = int64_t{1} << 28;  // of mixtures that are kept for the step's other lanes

}  // namespace

PolyAdapter::PolyAdapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule, at::ScalarType dtype,
                         at::Device device)
    : SkillAdapter(std::move(spec), values, schedule, device), products_(skill_sites(), dtype) {
  GAGGLE_CHECK(spec_.skill == SkillKind::low_rank);
}

std::vector<SkillSite> PolyAdapter::skill_sites() const {
  std::vector<SkillSite> sites;
  for (const LoraSite& s : spec_.sites) {
    SkillSite& site = sites.emplace_back();
    site.router = router_of_[sites.size() - 1];
    site.a = tensor(s.site.name + ".poly_lora_A").view({spec_.heads, spec_.skills, -1});
    site.b = tensor(s.site.name + ".poly_lora_B").view({spec_.heads, spec_.skills, -1});
    site.d_in = s.site.d_in;
    site.d_out = s.site.d_out;
    site.rank = s.rank;
    site.scale = s.scale;
    site.side = s.site.side;
  }
  return sites;
}

void PolyAdapter::refresh() {
  mixtures_.clear();
  active_.clear();
  products_.refresh();
}

void PolyAdapter::set_gradients(const at::Tensor& flat) {
  SkillAdapter::set_gradients(flat);
  for (size_t s = 0; s < spec_.sites.size(); ++s) {
    const std::string& name = spec_.sites[s].site.name;
    products_.set_gradients(s, gradient_of(flat, name + ".poly_lora_A"), gradient_of(flat, name + ".poly_lora_B"));
  }
}

// What a lane holds back is bounded by what the lane itself touched, never by what other lanes left here.
void PolyAdapter::make_room() {
  int64_t touched = 0;
  for (const auto& [task, m] : mixtures_) touched += m.touched;
  if (touched * products_.pair_values() > held_values) finish_gradients();
  if (static_cast<int64_t>(mixtures_.size()) * products_.pair_values() > held_values)
    std::erase_if(mixtures_, [](const auto& entry) { return !entry.second.touched; });
}

void PolyAdapter::begin(const Microbatch& batch) {
  if (per_example()) {
    finish_gradients();  // of the micro-batch before
    mixtures_.clear();
  } else {
    make_room();
  }
  const Members members = members_of(batch);
  active_.clear();
  for (const Members::Member& m : members.all) {
    const auto [found, is_new] = mixtures_.try_emplace(per_example() ? m.sample : m.task);
    if (is_new) found->second.task = m.task, found->second.weights = draw_weights(m.task, m.sample);
    active_.push_back(&found->second);
  }
  BySide<MixtureTokens> tokens;
  for (const Side side : sides) {
    const TokenSequences& set = batch.side(side);
    tokens[side] = {members.segments[side], {}, set.segments, set.even, set.count()};
    if (per_example()) continue;
    for (const Segment& even : set.even) {
      const auto member = std::ranges::find(members.all, even.member, &Members::Member::task);
      tokens[side].even_segments.push_back({static_cast<int>(member - members.all.begin()), even.begin, even.end});
    }
  }
  if (per_example())
    for (const Segment& segment : members.segments.decoder)
      for (const Segment& even : batch.decoder.even)
        active_[static_cast<size_t>(segment.member)]->even |= segment.begin >= even.begin && segment.begin < even.end;
  products_.begin(active_, std::move(tokens), per_example());
}

void PolyAdapter::forward(const Site& site, const at::Tensor& x, at::Tensor& y) {
  if (const int number = number_of(site); number >= 0) products_.forward(static_cast<size_t>(number), x, y);
}

void PolyAdapter::backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) {
  if (const int number = number_of(site); number >= 0)
    products_.backward(static_cast<size_t>(number), x, dy, dx, watch_);
}

void PolyAdapter::finish_gradients() {
  const c10::InferenceMode as_in_the_passes;  // what they left may only be changed in it
  std::vector<SkillMixture*> touched;
  if (per_example())
    std::ranges::copy_if(std::exchange(active_, {}), std::back_inserter(touched), &SkillMixture::touched);
  else
    for (auto& [task, m] : mixtures_)
      if (m.touched) touched.push_back(&m);
  if (touched.empty()) return;
  const at::Tensor d_weights = products_.finish(touched, watch_);
  for (size_t m = 0; m < touched.size(); ++m)
    add_routing_gradient(touched[m]->task, touched[m]->weights, d_weights.select(1, static_cast<int64_t>(m)));
}

}  // namespace gaggle
