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

void PolyAdapter::activate_tasks(const Microbatch& batch) {
  // What a lane holds back is bounded by what the lane itself touched, never by what other lanes left here.
  int64_t touched = 0;
  for (const auto& [task, m] : mixtures_) touched += m.touched;
  if (touched * mixed_size_ > held_values) finish_gradients();
  if (static_cast<int64_t>(mixtures_.size()) * mixed_size_ > held_values)
    std::erase_if(mixtures_, [](const auto& entry) { return !entry.second.touched; });
  const Members members = members_of(batch);
  for (const Members::Member& m : members.all) active_.push_back(&mixture(m.task, m.sample));
  for (const Side side : sides) {
    rows_[side].segments = members.segments[side];
    for (const Segment& segment : batch.side(side).even) {
      const auto own =
          std::ranges::find(members.all, segment.member, [](const Members::Member& m) { return m.task; });
      rows_[side].even_segments.push_back(
          {static_cast<int>(own - members.all.begin()), segment.begin, segment.end});
    }
  }
}

void PolyAdapter::activate_samples(const Microbatch& batch) {
  finish_gradients();  // of the micro-batch before
  mixtures_.clear();
  const Members members = members_of(batch);
  for (const Members::Member& m : members.all) active_.push_back(&mixture(m.task, m.sample));
  for (const Segment& segment : members.segments.decoder)
    for (const Segment& even : batch.decoder.even)
      active_[static_cast<size_t>(segment.member)]->of_even_sample |=
          segment.begin >= even.begin && segment.begin < even.end;
  // Rows of a sample at a site: of either side, where there are two.
  const double per_sample = static_cast<double>(batch.token_count()) /
                            static_cast<double>(active_.size() * (batch.sources.empty() ? 1 : 2));
  stacked_ = !mixing_is_cheaper(per_sample, dtype_, values_.device());
  for (const Side side : sides) {
    rows_[side].segments = members.segments[side];
    if (stacked_) rows_[side].mixture = member_by_row(members.segments[side]);
  }
  if (!stacked_) return;
  weights_ = stacked_weights(active_);
  d_weights_ = at::zeros_like(weights_);
}

void PolyAdapter::begin(const Microbatch& batch) {
  if (!per_example()) active_.clear();
  for (const Side side : sides) {
    const TokenSequences& set = batch.side(side);
    rows_[side] = {{}, {}, set.segments, set.even, set.count(), {}, {}, {}};
  }
  if (per_example()) {
    activate_samples(batch);
  } else {
    stacked_ = false;
    activate_tasks(batch);
  }
  if (stacked_) return prepare_stacked();
  std::vector<Mixture*> unmixed;
  for (Mixture* m : active_)
    if (m->pairs.empty()) unmixed.push_back(m);
  mix(unmixed);
  join();
}

// Where it pays off: the active mixtures' pairs, side by side.
void PolyAdapter::join() {
  for (size_t p = 0; p < places_.size(); ++p) {
    Place& place = places_[p];
    const int64_t rank = place.lora.rank;
    RowMixtures& rows = rows_[place.lora.site.side];
    place.joined = {};
    if (active_.size() < 2 || !joining_is_cheaper(rows.count, rank, dtype_, values_.device())) continue;
    if (!rows.foreign.contains(rank)) {
      const auto members = static_cast<int64_t>(active_.size());
      rows.foreign[rank] = foreign_columns(rows.segments, members, rank, rows.count, values_.device());
      if (watched_)
        rows.not_even[rank] = foreign_columns(rows.even_segments, members, rank, rows.count, values_.device());
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
