#include "adapter/poly.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "adapter/ia3.h"
#include "base/error.h"
#include "base/names.h"
#include "base/philox.h"
#include "kernel/mixing_weights.h"
#include "kernel/skill_mixing.h"

namespace gaggle {
namespace {

constexpr const char* router_tensor = "poly_router.module_logits";
constexpr std::array granularities = {"site", "layer", "stack", "model"};

std::vector<ParameterInfo> skill_tensors(const PolySpec& spec) {
  std::vector<ParameterInfo> tensors;
  const int64_t h = spec.heads, k = spec.skills;
  for (const LoraSite& s : spec.sites) {
    if (spec.skill == SkillKind::rescaling) {
      tensors.push_back({s.site.name + ".poly_ia3_l", {h, k, rescaled_width(s.site) / h}});
      continue;
    }
    tensors.push_back({s.site.name + ".poly_lora_A", {h, k, s.site.d_in / h, s.rank}});
    tensors.push_back({s.site.name + ".poly_lora_B", {h, k, s.rank, s.site.d_out / h}});
  }
  return tensors;
}

std::vector<ParameterInfo> router_tensors(const PolySpec& spec) {
  std::set<std::string> names;
  if (spec.routing == Routing::learned)
    for (const LoraSite& s : spec.sites) names.insert(spec.router_name(s.site));
  std::vector<ParameterInfo> tensors;
  for (const std::string& name : names) tensors.push_back({name, {spec.tasks, spec.heads * spec.skills}});
  return tensors;
}

ParameterLayout layout_of(const PolySpec& spec, bool with_skills) {
  std::vector<ParameterInfo> tensors = router_tensors(spec);
  if (with_skills) std::ranges::copy(skill_tensors(spec), std::back_inserter(tensors));
  return ParameterLayout(std::move(tensors));
}

// w [1, h, K] at every site → one mixture.
template <class WeightsOf>
at::Tensor mixed_with(const PolySpec& spec, const at::Tensor& values, const WeightsOf& weights_of) {
  const ParameterLayout layout = poly_layout(spec), mixture = mixture_layout(spec);
  at::Tensor flat = at::empty({mixture.size()}, values.options());
  for (const LoraSite& s : spec.sites) {
    const at::Tensor w = weights_of(s);
    const auto mix = [&](const char* name) {
      const at::Tensor skills = layout.view(values, s.site.name + name);
      return mix_skills(skills.reshape({spec.heads, spec.skills, -1}), w, values.scalar_type())[0];
    };
    if (spec.skill == SkillKind::rescaling) {
      const at::Tensor to = mixture.view(flat, s.site.name + ".poly_ia3_l");
      to.copy_(mix(".poly_ia3_l").view(to.sizes()));
      continue;
    }
    // [d_in, r] → [r, d_in]; [h, r, d_out/h] → [h, d_out/h, r] = [d_out, r]
    mixture.view(flat, s.site.name + ".lora_A").copy_(mix(".poly_lora_A").view({s.site.d_in, s.rank}).t());
    mixture.view(flat, s.site.name + ".lora_B")
        .copy_(mix(".poly_lora_B")
                   .view({spec.heads, s.rank, s.site.d_out / spec.heads})
                   .transpose(1, 2)
                   .reshape({s.site.d_out, s.rank}));
  }
  return flat;
}

}  // namespace

Routing routing_of_method(const std::string& method) {
  return method == "shared" ? Routing::uniform : method == "private" ? Routing::one_hot : Routing::learned;
}

const char* name_of(Granularity granularity) { return granularities[static_cast<size_t>(granularity)]; }

Granularity granularity_named(const std::string& name) {
  const auto found = std::ranges::find(granularities, name);
  if (found == granularities.end())
    user_error("router_granularity \"{}\": expected one of {}", name, fmt::join(granularities, ", "));
  return static_cast<Granularity>(found - granularities.begin());
}

std::string PolySpec::router_name(const Site& site) const { return router_prefix(site) + router_tensor; }

std::string PolySpec::router_prefix(const Site& site) const {
  switch (granularity) {
    case Granularity::model:
      return "";
    case Granularity::stack:
      return site.name.substr(0, site.name.find('.') + 1);
    case Granularity::layer:  // as far as the first number: "model.layers.3.", "decoder.block.3."
      return site.name.substr(0, site.name.find('.', site.name.find_first_of("0123456789")) + 1);
    case Granularity::site:
      break;
  }
  return site.name + ".";
}

void check_heads(std::span<const LoraSite> sites, int64_t heads, SkillKind skill) {
  std::set<std::string> odd;
  for (const LoraSite& s : sites)
    if (skill == SkillKind::rescaling) {
      if (rescaled_width(s.site) % heads != 0)
        odd.insert(fmt::format("{} is {} wide", s.site.kind, rescaled_width(s.site)));
    } else if (s.site.d_in % heads != 0 || s.site.d_out % heads != 0) {
      odd.insert(fmt::format("{} is {} wide in and {} out", s.site.kind, s.site.d_in, s.site.d_out));
    }
  if (odd.empty()) return;
  user_error(
      "poly.heads = {} does not divide the widths of every site: {}. Choose a number that does, or leave these "
      "out of lora.targets",
      heads, join({odd.begin(), odd.end()}, ", "));
}

ParameterLayout poly_layout(const PolySpec& spec) { return layout_of(spec, true); }

ParameterLayout trained_layout(const PolySpec& spec) { return layout_of(spec, spec.train_skills); }

bool is_router(const ParameterInfo& tensor) { return tensor.name.ends_with(router_tensor); }

std::vector<std::string> skill_names(SkillKind skill) {
  if (skill == SkillKind::rescaling) return {".poly_ia3_l"};
  return {".poly_lora_A", ".poly_lora_B"};
}

at::Tensor initial_poly(const PolySpec& spec, uint64_t seed) {
  const ParameterLayout layout = poly_layout(spec);
  at::Tensor values = at::zeros({layout.size()}, at::kFloat);
  const auto fill = [&](const ParameterInfo& tensor, double bound) {
    fill_uniform(random_key("poly", {seed, name_number(tensor.name)}), -bound, bound,
                 {values.data_ptr<float>() + tensor.offset, static_cast<size_t>(tensor.count)});
  };
  for (const LoraSite& s : spec.sites)
    if (spec.skill == SkillKind::rescaling)
      layout.view(values, s.site.name + ".poly_ia3_l").fill_(1);
    else
      fill(layout.at(s.site.name + ".poly_lora_A"), 1 / std::sqrt(3 * static_cast<double>(s.site.d_in)));
  for (const ParameterInfo& tensor : layout.tensors())
    if (is_router(tensor)) fill(tensor, 1e-3);
  return values;
}

PolySpec one_skill(PolySpec spec) {
  spec.skills = spec.heads = spec.tasks = 1;
  spec.routing = Routing::uniform;
  return spec;
}

ParameterLayout mixture_layout(const PolySpec& spec) {
  return spec.skill == SkillKind::rescaling ? poly_layout(one_skill(spec)) : lora_layout(spec.sites);
}

at::Tensor skill_gram(const at::Tensor& products, const at::Tensor& weights) {
  const at::Tensor w = weights.to(products.device(), at::kDouble).transpose(0, 1);  // [h, T, K]
  return (at::bmm(w, w.transpose(1, 2)) * products).sum(0);
}

at::Tensor averaged_skills(const PolySpec& spec, const at::Tensor& values) {
  const at::Tensor even =
      at::full({1, spec.heads, spec.skills}, 1 / static_cast<double>(spec.skills), values.options());
  return mixed_with(spec, values, [&](const LoraSite&) { return even; });
}

at::Tensor fixed_weights(const PolySpec& spec, int64_t rows, int task, const at::TensorOptions& options) {
  const bool one_hot = spec.routing == Routing::one_hot;
  at::Tensor w = at::full({rows, spec.heads, spec.skills}, one_hot ? 0 : 1 / static_cast<double>(spec.skills), options);
  if (one_hot) w.select(2, task).fill_(1);
  return w;
}

at::Tensor mixed_adapter(const PolySpec& spec, const at::Tensor& values, int task) {
  GAGGLE_CHECK(task >= 0 && task < spec.tasks, "task {} of {}", task, spec.tasks);
  const ParameterLayout layout = poly_layout(spec);
  return mixed_with(spec, values, [&](const LoraSite& s) {
    if (spec.routing != Routing::learned) return fixed_weights(spec, 1, task, values.options());
    return mixing_weights(layout.view(values, spec.router_name(s.site)).narrow(0, task, 1), spec.heads, 1)
        .w.contiguous();
  });
}

}  // namespace gaggle
