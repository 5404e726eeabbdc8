// What a micro-batch needs before its passes: which mixtures, their weights, their low-rank pairs.
#include "adapter/poly_adapter.h"

#include <algorithm>

#include "base/error.h"
#include "kernel/skill_mixing.h"

namespace gaggle {
namespace {

constexpr int64_t held_values = int64_t{1} << 28;  // of mixtures that are kept for the step's other lanes

}  // namespace

PolyAdapter::PolyAdapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule,
                         at::ScalarType dtype, at::Device device)
    : SkillAdapter(std::move(spec), values, schedule, device), dtype_(dtype) {
  GAGGLE_CHECK(spec_.skill == SkillKind::low_rank);
  for (const LoraSite& s : spec_.sites) {
    Place place;
    place.lora = s;
    place.a = tensor(s.site.name + ".poly_lora_A").view({spec_.heads, spec_.skills, -1});
    place.b = tensor(s.site.name + ".poly_lora_B").view({spec_.heads, spec_.skills, -1});
    place.router = router_of(s.site);
    place.at_a = mixed_size_;
    place.at_b = place.at_a + s.site.d_in * s.rank;
    mixed_size_ = place.at_b + s.site.d_out * s.rank;
    places_.push_back(std::move(place));
  }
}

void PolyAdapter::refresh() {
  mixtures_.clear();
  active_.clear();
  for (Place& place : places_) place.stacked = {};
}

void PolyAdapter::set_gradients(const at::Tensor& flat) {
  SkillAdapter::set_gradients(flat);
  for (Place& place : places_) {
    place.grad_a = gradient_of(flat, place.lora.site.name + ".poly_lora_A");
    place.grad_b = gradient_of(flat, place.lora.site.name + ".poly_lora_B");
  }
}

PolyAdapter::Mixture& PolyAdapter::mixture(int task, int64_t sample) {
  const auto [found, is_new] = mixtures_.try_emplace(per_example() ? sample : task);
  if (is_new) {
    found->second.task = task;
    found->second.weights = draw_weights(task, sample);
  }
  return found->second;
}

at::Tensor PolyAdapter::stacked_weights(std::span<Mixture* const> mixtures) const {
  std::vector<at::Tensor> all;
  for (const Mixture* m : mixtures) all.push_back(m->weights.w);
  return at::stack(all, 1).contiguous();
}

void PolyAdapter::mix(std::span<Mixture* const> mixtures) {
  if (mixtures.empty()) return;
  const at::Tensor w = stacked_weights(mixtures);
  const auto count = static_cast<int64_t>(mixtures.size());
  for (const Place& place : places_) {
    const LoraSite& s = place.lora;
    const at::Tensor its = w[static_cast<int64_t>(place.router)];
    const at::Tensor a = mix_skills(place.a, its, dtype_).view({count, s.site.d_in, s.rank});
    const at::Tensor b = mix_skills(place.b, its, dtype_)
                             .view({count, spec_.heads, s.rank, s.site.d_out / spec_.heads})
                             .transpose(1, 2)
                             .reshape({count, s.rank, s.site.d_out});
    for (int64_t m = 0; m < count; ++m)
      mixtures[static_cast<size_t>(m)]->pairs.push_back({a[m].t(), b[m].t(), s.scale, {}});
  }
}

void PolyAdapter::prepare_stacked() {
  for (Place& place : places_) {
    if (place.stacked.a.defined()) continue;
    const LoraSite& s = place.lora;
    place.stacked.a = place.a.to(dtype_).view({spec_.heads, spec_.skills, s.site.d_in / spec_.heads, s.rank});
    place.stacked.b = place.b.to(dtype_).view({spec_.heads, spec_.skills, s.rank, s.site.d_out / spec_.heads});
    place.stacked.scale = s.scale;
  }
}

void PolyAdapter::activate_tasks(const Rows& rows) {
  // What a lane holds back is bounded by what the lane itself touched, never by what other lanes left here.
  int64_t touched = 0;
  for (const auto& [task, m] : mixtures_) touched += m.touched;
  if (touched * mixed_size_ > held_values) finish_gradients();
  if (static_cast<int64_t>(mixtures_.size()) * mixed_size_ > held_values)
    std::erase_if(mixtures_, [](const auto& entry) { return !entry.second.touched; });
  const Members members = members_of(rows);
  for (const Members::Member& m : members.all) active_.push_back(&mixture(m.task, m.sample));
  segments_ = members.segments;
  for (const Segment& segment : rows.even) {
    const auto own =
        std::ranges::find(members.all, segment.member, [](const Members::Member& m) { return m.task; });
    even_segments_.push_back({static_cast<int>(own - members.all.begin()), segment.begin, segment.end});
  }
}

void PolyAdapter::activate_samples(const Rows& rows) {
  finish_gradients();  // of the micro-batch before
  mixtures_.clear();
  const Members members = members_of(rows);
  segments_ = members.segments;
  for (const Segment& segment : segments_) {
    const Members::Member& member = members.all[static_cast<size_t>(segment.member)];
    active_.push_back(&mixture(member.task, member.sample));
    for (const Segment& even : rows.even)
      active_.back()->of_even_sample |= segment.begin >= even.begin && segment.begin < even.end;
  }
  stacked_ = !mixing_is_cheaper(static_cast<double>(rows.count()) / static_cast<double>(active_.size()), dtype_,
                                values_.device());
  if (!stacked_) return;
  weights_ = stacked_weights(active_);
  d_weights_ = at::zeros_like(weights_);
  row_mixture_ = member_by_row(members);
}

void PolyAdapter::begin(const Rows& rows) {
  if (!per_example()) active_.clear();
  segments_.clear();
  even_segments_.clear();
  if (per_example()) {
    activate_samples(rows);
  } else {
    stacked_ = false;
    activate_tasks(rows);
  }
  task_segments_ = rows.segments;
  even_task_segments_ = rows.even;
  if (stacked_) return prepare_stacked();
  std::vector<Mixture*> unmixed;
  for (Mixture* m : active_)
    if (m->pairs.empty()) unmixed.push_back(m);
  mix(unmixed);
  join(rows.count());
}

// Where it pays off: the active mixtures' pairs, side by side.
void PolyAdapter::join(int64_t rows) {
  foreign_.clear();
  not_even_.clear();
  for (size_t p = 0; p < places_.size(); ++p) {
    Place& place = places_[p];
    const int64_t rank = place.lora.rank;
    place.joined = {};
    if (active_.size() < 2 || !joining_is_cheaper(rows, rank, dtype_, values_.device())) continue;
    if (!foreign_.contains(rank)) {
      const auto members = static_cast<int64_t>(active_.size());
      foreign_[rank] = foreign_columns(segments_, members, rank, rows, values_.device());
      if (watched_) not_even_[rank] = foreign_columns(even_segments_, members, rank, rows, values_.device());
    }
    std::vector<at::Tensor> a, b;
    for (const Mixture* m : active_) {
      a.push_back(m->pairs[p].a.t());
      b.push_back(m->pairs[p].b.t());
    }
    place.joined = {at::cat(a, 1), at::cat(b, 0), place.lora.scale};
  }
}

}  // namespace gaggle
