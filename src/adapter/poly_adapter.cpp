// What a micro-batch needs before its passes: which mixtures, their weights, their low-rank pairs.
#include "adapter/poly_adapter.h"

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/names.h"
#include "base/philox.h"
#include "kernel/dispatch.h"
#include "kernel/skill_mixing.h"

namespace gaggle {
namespace {

constexpr int64_t held_values = int64_t{1} << 28;  // of mixtures that are kept for the step's other lanes

}  // namespace

double routing_kept(const RoutingSchedule& schedule, int64_t step) {
  if (schedule.average_from >= 0 && step >= schedule.average_from) return 0;
  if (step < schedule.interpolate_from || schedule.interpolate_from >= schedule.interpolate_to) return 1;
  const auto length = static_cast<double>(schedule.interpolate_to - schedule.interpolate_from);
  const double share = static_cast<double>(step - schedule.interpolate_from + 1) / length;
  return share >= 1 ? 0 : std::cos(std::numbers::pi / 2 * share);
}

PolyAdapter::PolyAdapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule,
                         at::ScalarType dtype, at::Device device)
    : spec_(std::move(spec)), schedule_(schedule), dtype_(dtype) {
  check_heads(spec_.sites, spec_.heads);
  const ParameterLayout all = poly_layout(spec_);
  GAGGLE_CHECK(values.numel() == all.size());
  layout_ = trained_layout(spec_);
  std::vector<ParameterInfo> frozen;
  for (const ParameterInfo& t : all.tensors())
    if (!layout_.find(t.name)) frozen.push_back({t.name, t.shape});
  frozen_layout_ = ParameterLayout(std::move(frozen));
  const auto options = at::TensorOptions().dtype(sum_type(values.scalar_type())).device(device);
  values_ = at::empty({layout_.size()}, options);
  frozen_ = at::empty({frozen_layout_.size()}, options);
  for (const ParameterInfo& t : all.tensors()) tensor(t.name).copy_(all.view(values, t));

  std::map<std::string, size_t> router_of;
  for (const LoraSite& s : spec_.sites) {
    Place place;
    place.lora = s;
    place.a = tensor(s.site.name + ".poly_lora_A").view({spec_.heads, spec_.skills, -1});
    place.b = tensor(s.site.name + ".poly_lora_B").view({spec_.heads, spec_.skills, -1});
    const auto [found, is_new] = router_of.try_emplace(spec_.router_prefix(s.site), routers_.size());
    if (is_new) {
      routers_.emplace_back();
      if (spec_.routing == Routing::learned)
        routers_.back().logits = tensor(found->first + "poly_router.module_logits");
    }
    place.router = found->second;
    place.at_a = mixed_size_;
    place.at_b = place.at_a + s.site.d_in * s.rank;
    mixed_size_ = place.at_b + s.site.d_out * s.rank;
    const auto index = static_cast<size_t>(s.site.index);
    if (place_of_site_.size() <= index) place_of_site_.resize(index + 1, -1);
    place_of_site_[index] = static_cast<int>(places_.size());
    places_.push_back(std::move(place));
  }
}

at::Tensor PolyAdapter::tensor(const std::string& name) const {
  return layout_.find(name) ? layout_.view(values_, name) : frozen_layout_.view(frozen_, name);
}

at::Tensor PolyAdapter::all_values() const {
  const ParameterLayout all = poly_layout(spec_);
  at::Tensor flat = at::empty({all.size()}, values_.options());
  for (const ParameterInfo& t : all.tensors()) all.view(flat, t).copy_(tensor(t.name));
  return flat;
}

void PolyAdapter::refresh() {
  mixtures_.clear();
  active_.clear();
  for (Place& place : places_) place.stacked = {};
}

void PolyAdapter::set_gradients(const at::Tensor& flat) {
  const auto view = [&](const std::string& name) {
    return flat.defined() && layout_.find(name) ? layout_.view(flat, name) : at::Tensor();
  };
  for (Place& place : places_) {
    place.grad_a = view(place.lora.site.name + ".poly_lora_A");
    place.grad_b = view(place.lora.site.name + ".poly_lora_B");
    routers_[place.router].gradient = view(spec_.router_prefix(place.lora.site) + "poly_router.module_logits");
  }
}

void PolyAdapter::begin_step(int64_t step) {
  step_ = step;
  kept_ = routing_kept(schedule_, step);
  sampling_now_ = kept_ > 0 && spec_.routing == Routing::learned ? schedule_.sampling : Sampling::none;
  refresh();
}

void PolyAdapter::begin_evaluation() {
  sampling_now_ = Sampling::none;
  refresh();
}

MixingWeights PolyAdapter::draw_weights(int task, int64_t sample) const {
  const auto routers = static_cast<int64_t>(routers_.size());
  GAGGLE_CHECK(task >= 0 && task < spec_.tasks, "task {} of {}", task, spec_.tasks);
  if (spec_.routing != Routing::learned) {
    const bool own = spec_.routing == Routing::own;
    at::Tensor w = at::full({routers, spec_.heads, spec_.skills},
                            own ? 0 : 1 / static_cast<double>(spec_.skills), values_.options());
    if (own) w.select(2, task).fill_(1);
    return {w, {}};
  }
  std::vector<at::Tensor> rows;
  for (const Router& router : routers_) rows.push_back(router.logits.narrow(0, task, 1));
  const at::Tensor logits = at::cat(rows);  // [R, h·K]
  if (sampling_now_ == Sampling::none) return mixing_weights(logits, spec_.heads, kept_);
  at::Tensor noise = at::empty(logits.sizes(), at::kFloat);
  const auto width = static_cast<size_t>(logits.size(1));
  std::vector<bool> drawn(routers_.size());
  for (const Place& place : places_) {
    if (drawn[place.router]) continue;
    drawn[place.router] = true;
    const uint64_t who = static_cast<uint64_t>(per_example() ? sample : task);
    fill_uniform(random_key(per_example() ? "routing of a sample" : "routing of a task",
                            {schedule_.seed, static_cast<uint64_t>(step_),
                             name_number(spec_.router_prefix(place.lora.site)), who}),
                 0, 1, {noise.data_ptr<float>() + place.router * width, width});
  }
  return mixing_weights(logits, spec_.heads, kept_, noise.to(logits.options()), schedule_.temperature);
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
  std::map<int, int> member;
  for (const Segment& segment : rows.segments) {
    const auto [found, is_new] = member.try_emplace(segment.member, static_cast<int>(active_.size()));
    if (is_new) active_.push_back(&mixture(segment.member, 0));
    segments_.push_back({found->second, segment.begin, segment.end});
  }
  for (const Segment& segment : rows.even)
    even_segments_.push_back({member.at(segment.member), segment.begin, segment.end});
}

void PolyAdapter::activate_samples(const Rows& rows) {
  finish_gradients();  // of the micro-batch before
  mixtures_.clear();
  GAGGLE_CHECK(rows.samples.size() == static_cast<size_t>(rows.sequences()), "rows do not say whose they are");
  std::vector<int64_t> member_of_row;
  size_t segment = 0;
  for (size_t s = 0; s < rows.samples.size(); ++s) {
    const int64_t begin = rows.starts[s], end = rows.starts[s + 1];
    while (rows.segments[segment].end <= begin) ++segment;
    if (s > 0 && rows.samples[s] == rows.samples[s - 1]) {
      segments_.back().end = end;  // another choice of the same sample
    } else {
      active_.push_back(&mixture(rows.segments[segment].member, rows.samples[s]));
      segments_.push_back({static_cast<int>(active_.size()) - 1, begin, end});
    }
    for (const Segment& even : rows.even)
      active_.back()->of_even_sample |= begin >= even.begin && begin < even.end;
    member_of_row.insert(member_of_row.end(), static_cast<size_t>(end - begin), segments_.back().member);
  }
  stacked_ = !mixing_is_cheaper(static_cast<double>(rows.count()) / static_cast<double>(active_.size()), dtype_,
                                values_.device());
  row_mixture_ = at::tensor(member_of_row, at::kLong).to(values_.device());
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
  weights_ = stacked_weights(active_);
  d_weights_ = at::zeros_like(weights_);
  if (stacked_) return prepare_stacked();
  std::vector<Mixture*> unmixed;
  for (Mixture* m : active_)
    if (m->pairs.empty()) unmixed.push_back(m);
  mix(unmixed);
}

}  // namespace gaggle
