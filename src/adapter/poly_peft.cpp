#include "adapter/poly_peft.h"

#include <algorithm>
#include <map>
#include <set>

#include "adapter/ia3.h"
#include "base/error.h"

namespace gaggle {
namespace {

constexpr double certain = 40;  // σ(-40) = 4e-18

std::vector<float> floats_of(const at::Tensor& x) {
  const at::Tensor flat = x.to(at::kCPU, at::kFloat).contiguous();
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

at::Tensor logits_of(const PolySpec& spec, const ParameterLayout& layout, const at::Tensor& values,
                     const Site& site) {
  if (spec.routing == Routing::learned) return layout.view(values, spec.router_name(site));
  at::Tensor z = at::zeros({spec.tasks, spec.heads, spec.skills});
  if (spec.routing == Routing::own) z.fill_(-certain).diagonal(0, 0, 2).fill_(certain);
  return z;
}

void copy_values(const std::vector<float>& from, at::Tensor to) {
  to.copy_(at::tensor(at::ArrayRef<float>(from)).view(to.sizes()));
}

// PEFT's own (IA)³.
bool one_for_all(const PolySpec& spec) {
  return spec.skills == 1 && spec.routing == Routing::uniform;
}

std::string sizes_text(int64_t tasks, int64_t skills, int64_t heads) {
  if (tasks == 0) return "one vector a site for all tasks";
  return fmt::format("{} skills, {} heads and {} tasks", skills, heads, tasks);
}

// A folder's sites in spec's order; `verb` of the complaint: "adapts", "rescales".
template <class Site>
std::vector<const Site*> in_order_of(const PolySpec& spec, const std::vector<Site>& sites, const char* verb,
                                     const std::string& where) {
  std::map<std::string, const Site*> by_name;
  for (const Site& site : sites) by_name[site.site] = &site;
  if (by_name.size() != spec.sites.size())
    user_error("{}: it {} {} linears, the run {}: set lora.targets to the same", where, verb, by_name.size(),
               spec.sites.size());
  std::vector<const Site*> ordered;
  for (const LoraSite& s : spec.sites) {
    const auto found = by_name.find(s.site.name);
    if (found == by_name.end()) user_error("{}: it has nothing for {}", where, s.site.name);
    ordered.push_back(found->second);
  }
  return ordered;
}

// The table's rows from each site's logits; one that several sites share is the first site's.
template <class Site>
void copy_routing(const PolySpec& spec, const std::vector<const Site*>& sites, const ParameterLayout& layout,
                  const at::Tensor& values) {
  if (spec.routing != Routing::learned) return;
  std::set<std::string> copied;
  for (size_t i = 0; i < sites.size(); ++i) {
    const std::string name = spec.router_name(spec.sites[i].site);
    if (copied.insert(name).second) copy_values(sites[i]->logits, layout.view(values, name));
  }
}

}  // namespace

PeftPoly poly_to_peft(const PolySpec& spec, const at::Tensor& values, const PeftBase& base) {
  const ParameterLayout layout = poly_layout(spec);
  PeftPoly poly;
  poly.base = base;
  poly.tasks = spec.tasks;
  poly.skills = spec.skills;
  poly.heads = spec.heads;
  for (const LoraSite& s : spec.sites)
    poly.sites.push_back({s.site.name, s.rank, s.site.d_in, s.site.d_out,
                          floats_of(layout.view(values, s.site.name + ".poly_lora_A")),
                          floats_of(layout.view(values, s.site.name + ".poly_lora_B")),
                          floats_of(logits_of(spec, layout, values, s.site))});
  std::ranges::sort(poly.sites, {}, &PeftPolySite::site);
  return poly;
}

at::Tensor poly_from_peft(const PeftPoly& poly, const PolySpec& spec, const std::string& where) {
  if (poly.skills != spec.skills || poly.heads != spec.heads || poly.tasks != spec.tasks)
    user_error("{}: it has {} skills, {} heads and {} tasks, and the run {}, {} and {}", where, poly.skills,
               poly.heads, poly.tasks, spec.skills, spec.heads, spec.tasks);
  const auto sites = in_order_of(spec, poly.sites, "adapts", where);
  const ParameterLayout layout = poly_layout(spec);
  at::Tensor values = at::zeros({layout.size()}, at::kFloat);
  for (size_t i = 0; i < sites.size(); ++i) {
    const LoraSite& s = spec.sites[i];
    const PeftPolySite& site = *sites[i];
    if (site.rank != s.rank || site.d_in != s.site.d_in || site.d_out != s.site.d_out)
      user_error("{}: {} is {} x {} of rank {} there, here {} x {} of rank {}", where, site.site, site.d_out,
                 site.d_in, site.rank, s.site.d_out, s.site.d_in, s.rank);
    copy_values(site.a, layout.view(values, site.site + ".poly_lora_A"));
    copy_values(site.b, layout.view(values, site.site + ".poly_lora_B"));
  }
  copy_routing(spec, sites, layout, values);
  return values;
}

PeftIa3 ia3_to_peft(const PolySpec& spec, const at::Tensor& values, const PeftBase& base) {
  const ParameterLayout layout = poly_layout(spec);
  PeftIa3 ia3;
  ia3.base = base;
  if (!one_for_all(spec)) ia3.tasks = spec.tasks, ia3.skills = spec.skills, ia3.heads = spec.heads;
  for (const LoraSite& s : spec.sites) {
    PeftIa3Site& site = ia3.sites.emplace_back();
    site = {s.site.name,
            s.site.reads_activation,
            rescaled_width(s.site),
            floats_of(layout.view(values, s.site.name + ".poly_ia3_l")),
            {}};
    if (ia3.tasks > 0) site.logits = floats_of(logits_of(spec, layout, values, s.site));
  }
  std::ranges::sort(ia3.sites, {}, &PeftIa3Site::site);
  return ia3;
}

at::Tensor ia3_from_peft(const PeftIa3& ia3, const PolySpec& spec, const std::string& where) {
  const std::string has = sizes_text(ia3.tasks, ia3.skills, ia3.heads);
  const std::string wants = sizes_text(one_for_all(spec) ? 0 : spec.tasks, spec.skills, spec.heads);
  if (has != wants) user_error("{}: it has {}, and the run {}", where, has, wants);
  const auto sites = in_order_of(spec, ia3.sites, "rescales", where);
  const ParameterLayout layout = poly_layout(spec);
  at::Tensor values = at::zeros({layout.size()}, at::kFloat);
  for (size_t i = 0; i < sites.size(); ++i) {
    const Site& here = spec.sites[i].site;
    const PeftIa3Site& site = *sites[i];
    if (site.width != rescaled_width(here) || site.feedforward != here.reads_activation)
      user_error("{}: it rescales {} values of {}'s {}, here it is its {} and {} wide", where, site.width,
                 site.site, site.feedforward ? "input" : "output", here.reads_activation ? "input" : "output",
                 rescaled_width(here));
    copy_values(site.l, layout.view(values, site.site + ".poly_ia3_l"));
  }
  copy_routing(spec, sites, layout, values);
  return values;
}

}  // namespace gaggle
