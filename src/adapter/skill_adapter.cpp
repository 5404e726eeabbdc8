#include "adapter/skill_adapter.h"

#include <cmath>
#include <numbers>

#include "adapter/ia3.h"
#include "adapter/poly_adapter.h"
#include "base/error.h"
#include "base/names.h"
#include "base/philox.h"
#include "kernel/dispatch.h"

namespace gaggle {
namespace {

Members members_of_tasks(const Microbatch& batch) {
  Members members;
  std::map<int, int> member;
  for (const Side side : sides)
    for (const Segment& segment : batch.side(side).segments) {
      const auto [found, is_new] = member.try_emplace(segment.member, static_cast<int>(members.all.size()));
      if (is_new) members.all.push_back({segment.member, 0});
      members.segments[side].push_back({found->second, segment.begin, segment.end});
    }
  return members;
}

Members members_of_samples(const Microbatch& batch) {
  Members members;
  std::map<int64_t, int> member;
  for (const Side side : sides) {
    const TokenSequences& set = batch.side(side);
    std::vector<Segment>& segments = members.segments[side];
    GAGGLE_CHECK(set.samples.size() == static_cast<size_t>(set.sequences()), "the sequences do not say whose they are");
    size_t segment = 0;
    for (size_t s = 0; s < set.samples.size(); ++s) {
      const int64_t begin = set.starts[s], end = set.starts[s + 1];
      while (set.segments[segment].end <= begin) ++segment;
      const auto [found, is_new] = member.try_emplace(set.samples[s], static_cast<int>(members.all.size()));
      if (is_new) members.all.push_back({set.segments[segment].member, set.samples[s]});
      if (s > 0 && set.samples[s] == set.samples[s - 1])
        segments.back().end = end;  // another choice of the same sample
      else
        segments.push_back({found->second, begin, end});
    }
  }
  return members;
}

}  // namespace

double routing_kept(const RoutingSchedule& schedule, int64_t step) {
  if (schedule.average_from >= 0 && step >= schedule.average_from) return 0;
  if (step < schedule.interpolate_from || schedule.interpolate_from >= schedule.interpolate_to) return 1;
  const auto length = static_cast<double>(schedule.interpolate_to - schedule.interpolate_from);
  const double share = static_cast<double>(step - schedule.interpolate_from + 1) / length;
  return share >= 1 ? 0 : std::cos(std::numbers::pi / 2 * share);
}

SkillAdapter::SkillAdapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule, at::Device device)
    : spec_(std::move(spec)), schedule_(schedule) {
  check_heads(spec_.sites, spec_.heads, spec_.skill);
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
  std::map<std::string, int64_t> by_prefix;  // of routers_
  for (const LoraSite& s : spec_.sites) {
    const auto index = static_cast<size_t>(s.site.index);
    if (number_of_site_.size() <= index) number_of_site_.resize(index + 1, -1);
    number_of_site_[index] = static_cast<int>(&s - spec_.sites.data());
    const std::string prefix = spec_.router_prefix(s.site);
    const auto [found, is_new] = by_prefix.try_emplace(prefix, static_cast<int64_t>(routers_.size()));
    router_of_.push_back(found->second);
    if (!is_new) continue;
    routers_.push_back({prefix, spec_.router_name(s.site), {}, {}});
    if (spec_.routing == Routing::learned) routers_.back().logits = tensor(routers_.back().name);
  }
}

at::Tensor SkillAdapter::tensor(const std::string& name) const {
  return layout_.find(name) ? layout_.view(values_, name) : frozen_layout_.view(frozen_, name);
}

at::Tensor SkillAdapter::all_values() const {
  const ParameterLayout all = poly_layout(spec_);
  at::Tensor flat = at::empty({all.size()}, values_.options());
  for (const ParameterInfo& t : all.tensors()) all.view(flat, t).copy_(tensor(t.name));
  return flat;
}

at::Tensor SkillAdapter::gradient_of(const at::Tensor& flat, const std::string& name) const {
  return flat.defined() && layout_.find(name) ? layout_.view(flat, name) : at::Tensor();
}

void SkillAdapter::set_gradients(const at::Tensor& flat) {
  watch_.whole = {};
  for (Router& router : routers_) router.gradient = gradient_of(flat, router.name);
}

void SkillAdapter::set_gradients_by_task(const at::Tensor& flat, const ParameterLayout& layout,
                                         GradientWatch::Sink sink) {
  set_gradients({});
  watch_.whole = std::move(sink);
  for (Router& router : routers_)
    if (layout.find(router.name)) router.gradient = layout.view(flat, router.name);
}

void SkillAdapter::begin_step(int64_t step) {
  step_ = step;
  kept_ = routing_kept(schedule_, step);
  sampling_now_ = kept_ > 0 && spec_.routing == Routing::learned ? schedule_.sampling : Sampling::none;
  refresh();
}

void SkillAdapter::begin_evaluation() {
  sampling_now_ = Sampling::none;
  refresh();
}

WatchedSizes SkillAdapter::watched_sizes(const LoraSite& s) const {
  const int64_t values = per_example() ? spec_.skills : 1;
  if (spec_.skill == SkillKind::rescaling) return {values * rescaled_width(s.site) / spec_.heads, 0};
  return {values * s.site.d_in / spec_.heads * s.rank, values * s.rank * s.site.d_out / spec_.heads};
}

std::vector<at::Tensor> SkillAdapter::routing_of(std::span<const int> tasks) const {
  if (per_example()) return {};
  std::vector<at::Tensor> all, by_site;
  for (const int task : tasks) all.push_back(draw_weights(task, 0).w);
  const at::Tensor w = at::stack(all, 1);  // [R, T, h, K]
  for (const int64_t router : router_of_) by_site.push_back(w[router]);
  return by_site;
}

int SkillAdapter::number_of(const Site& site) const {
  const auto index = static_cast<size_t>(site.index);
  return index < number_of_site_.size() ? number_of_site_[index] : -1;
}

std::unique_ptr<SkillAdapter> make_skill_adapter(const PolySpec& spec, const at::Tensor& values,
                                                 const RoutingSchedule& schedule, at::ScalarType dtype,
                                                 at::Device device) {
  if (spec.skill == SkillKind::rescaling) return std::make_unique<Ia3Adapter>(spec, values, schedule, device);
  return std::make_unique<PolyAdapter>(spec, values, schedule, dtype, device);
}

Members SkillAdapter::members_of(const Microbatch& batch) const {
  return per_example() ? members_of_samples(batch) : members_of_tasks(batch);
}

MixingWeights SkillAdapter::draw_weights(int task, int64_t sample) const {
  const auto routers = static_cast<int64_t>(routers_.size());
  GAGGLE_CHECK(task >= 0 && task < spec_.tasks, "task {} of {}", task, spec_.tasks);
  if (spec_.routing != Routing::learned) return {fixed_weights(spec_, routers, task, values_.options()), {}};
  std::vector<at::Tensor> rows;
  for (const Router& router : routers_) rows.push_back(router.logits.narrow(0, task, 1));
  const at::Tensor logits = at::cat(rows);  // [R, h·K]
  if (sampling_now_ == Sampling::none) return mixing_weights(logits, spec_.heads, kept_);
  at::Tensor noise = at::empty(logits.sizes(), at::kFloat);
  const auto width = static_cast<size_t>(logits.size(1));
  const uint64_t who = static_cast<uint64_t>(per_example() ? sample : task);
  for (size_t r = 0; r < routers_.size(); ++r)
    fill_uniform(random_key(per_example() ? "routing of a sample" : "routing of a task",
                            {schedule_.seed, static_cast<uint64_t>(step_), name_number(routers_[r].prefix), who}),
                 0, 1, {noise.data_ptr<float>() + r * width, width});
  return mixing_weights(logits, spec_.heads, kept_, noise.to(logits.options()), schedule_.temperature);
}

void SkillAdapter::add_routing_gradient(int task, const MixingWeights& weights, const at::Tensor& d_w) {
  if (!weights.z.defined()) return;  // fixed routing
  const double temperature = sampling_now_ == Sampling::none ? 1 : schedule_.temperature;
  const at::Tensor d = logits_gradient(weights, d_w, kept_, temperature);  // [R, h·K]
  for (size_t r = 0; r < routers_.size(); ++r)
    if (routers_[r].gradient.defined()) routers_[r].gradient[task].add_(d[static_cast<int64_t>(r)]);
}

}  // namespace gaggle
