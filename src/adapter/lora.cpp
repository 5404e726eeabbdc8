#include "adapter/lora.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/names.h"
#include "base/philox.h"

namespace gaggle {

bool names_module(const std::vector<std::string>& endings, const std::string& name) {
  return std::ranges::any_of(endings,
                             [&](const std::string& ending) { return name == ending || name.ends_with("." + ending); });
}

std::vector<std::string> site_names(const std::vector<Site>& sites) {
  std::vector<std::string> names;
  for (const Site& site : sites) names.push_back(site.name);
  return names;
}

std::vector<LoraSite> lora_sites(const std::vector<Site>& sites, const std::vector<std::string>& targets, int64_t rank,
                                 double alpha) {
  const bool all = targets.empty() || std::ranges::find(targets, "all-linear") != targets.end();
  std::set<std::string> kinds;
  for (const Site& site : sites) kinds.insert(site.kind);
  for (const std::string& target : targets) {
    if (target == "all-linear") continue;
    if (std::ranges::any_of(sites, [&](const Site& s) { return names_module({target}, s.name); })) continue;
    const std::vector<std::string> known(kinds.begin(), kinds.end());
    user_error("lora.targets: no linear of the model is called '{}'{}; there are {}, or all-linear", target,
               did_you_mean(target, known), join(known, ", "));
  }
  std::vector<LoraSite> chosen;
  for (const Site& site : sites)
    if (all || names_module(targets, site.name)) chosen.push_back({site, rank, alpha / static_cast<double>(rank)});
  return chosen;
}

ParameterLayout lora_layout(std::span<const LoraSite> sites) {
  std::vector<ParameterInfo> tensors;
  for (const LoraSite& s : sites) {
    tensors.push_back({s.site.name + ".lora_A", {s.rank, s.site.d_in}});
    tensors.push_back({s.site.name + ".lora_B", {s.site.d_out, s.rank}});
  }
  return ParameterLayout(std::move(tensors));
}

at::Tensor initial_lora(std::span<const LoraSite> sites, uint64_t seed, double std) {
  const ParameterLayout layout = lora_layout(sites);
  at::Tensor values = at::zeros({layout.size()}, at::kFloat);
  for (const LoraSite& s : sites) {
    const ParameterInfo& a = layout.at(s.site.name + ".lora_A");
    fill_normal(random_key("lora_A", {seed, name_number(s.site.name)}), std,
                {values.data_ptr<float>() + a.offset, static_cast<size_t>(a.count)});
  }
  return values;
}

void SitePairs::forward(const Site& site, const at::Tensor& x, at::Tensor& y) const {
  const auto index = static_cast<size_t>(site.index);
  if (index < sites.size() && !sites[index].pairs.empty())
    segmented_lowrank_forward(x, y, segments[site.side], sites[index].pairs);
}

void SitePairs::backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) const {
  const auto index = static_cast<size_t>(site.index);
  if (index < sites.size() && !sites[index].pairs.empty())
    segmented_lowrank_backward(x, dy, dx, segments[site.side], sites[index].pairs, sites[index].grads);
}

PairAdapter::PairAdapter(std::vector<LoraSite> sites) : sites_(std::move(sites)) {
  int last = -1;
  for (const LoraSite& s : sites_) last = std::max(last, s.site.index);
  on_sites_.sites.resize(static_cast<size_t>(last + 1));
}

LoraAdapter::LoraAdapter(std::vector<LoraSite> sites, const std::vector<at::Tensor>& members, at::ScalarType dtype,
                         at::Device device)
    : PairAdapter(std::move(sites)), members_(members.size()), dtype_(dtype) {
  const ParameterLayout one = lora_layout(sites_);
  std::vector<ParameterInfo> tensors;
  for (size_t m = 0; m < members_; ++m)
    for (const ParameterInfo& t : one.tensors()) tensors.push_back({prefix(m) + t.name, t.shape});
  layout_ = ParameterLayout(std::move(tensors));
  values_ = at::cat(members).to(device, at::kFloat);  // member by member: the order of the zero-padded names
  GAGGLE_CHECK(values_.numel() == layout_.size());
  set_gradients({});
  refresh();
}

std::string LoraAdapter::prefix(size_t member) const { return members_ == 1 ? "" : fmt::format("{:04}/", member); }

void LoraAdapter::refresh() {
  const at::Tensor used = values_.to(dtype_);  // no copy where the base computes in fp32
  for (const LoraSite& s : sites_) {
    std::vector<LowRank>& pairs = on_sites_[s.site].pairs;
    pairs.clear();
    for (size_t m = 0; m < members_; ++m) {
      const std::string name = prefix(m) + s.site.name;
      pairs.push_back({layout_.view(used, name + ".lora_A"), layout_.view(used, name + ".lora_B"), s.scale, {}});
    }
  }
}

void LoraAdapter::set_gradients(const at::Tensor& flat) {
  for (const LoraSite& s : sites_) {
    std::vector<LowRankGrad>& grads = on_sites_[s.site].grads;
    grads.assign(members_, {});
    for (size_t m = 0; flat.defined() && m < members_; ++m) {
      const std::string name = prefix(m) + s.site.name;
      grads[m] = {layout_.view(flat, name + ".lora_A"), layout_.view(flat, name + ".lora_B"), {}};
    }
  }
}

}  // namespace gaggle
