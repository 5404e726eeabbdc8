#include "library/peft_values.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/names.h"

namespace gaggle {
namespace {

// Shapes are those of the layout but for PEFT's (IA)³, whose vectors are a column, or a row where they rescale inputs.
std::vector<int64_t> stored_shape(PeftKind kind, const Site& site, const ParameterInfo& tensor) {
  if (kind != PeftKind::ia3) return tensor.shape;
  if (site.reads_activation) return {1, tensor.count};
  return {tensor.count, 1};
}

void check_fits(const PeftAdapter& adapter, const PeftTensor& there, const Site& here, const ParameterInfo& tensor,
                const std::string& where) {
  const std::vector<int64_t> expected = stored_shape(adapter.kind, here, tensor);
  if (there.shape != expected)
    user_error("{}: {} of {} is {} there, here it would be {}", where, tensor.name.substr(tensor.name.rfind('.') + 1),
               here.name, shape_text(there.shape), shape_text(expected));
}

}  // namespace

std::vector<LoraSite> sites_of(const PeftAdapter& adapter, const std::vector<Site>& sites, const std::string& where) {
  std::map<std::string, const Site*> by_name;
  for (const Site& site : sites) by_name[site.name] = &site;
  std::vector<LoraSite> found;
  for (const PeftSite& s : adapter.sites) {
    const auto site = by_name.find(s.site);
    if (site == by_name.end()) {
      const std::string near = nearest_name(s.site, site_names(sites));
      user_error("{}: the model has no linear {}{}: was it trained on another model?", where, s.site,
                 near.empty() ? "" : fmt::format(" (the nearest is {})", near));
    }
    const int64_t rank = std::max<int64_t>(1, s.rank);  // (IA)³ has none
    found.push_back({*site->second, rank, adapter.kind == PeftKind::lora ? s.scale : 1 / static_cast<double>(rank)});
  }
  std::ranges::sort(found, {}, [](const LoraSite& s) { return s.site.index; });
  return found;
}

std::vector<const PeftSite*> in_order_of(std::span<const LoraSite> sites, const PeftAdapter& adapter,
                                         const std::string& where) {
  if (adapter.sites.size() != sites.size())
    user_error("{}: it adapts {} linears, the run {}: set lora.targets to the same", where, adapter.sites.size(),
               sites.size());
  std::map<std::string, const PeftSite*> by_name;
  for (const PeftSite& s : adapter.sites) by_name[s.site] = &s;
  std::vector<const PeftSite*> ordered;
  for (const LoraSite& s : sites) {
    const auto found = by_name.find(s.site.name);
    if (found == by_name.end()) user_error("{}: it has nothing for {}", where, s.site.name);
    ordered.push_back(found->second);
  }
  return ordered;
}

at::Tensor values_from_peft(const PeftAdapter& adapter, std::span<const LoraSite> sites, const ParameterLayout& layout,
                            const ParameterName& name_of, const std::string& where) {
  const std::vector<const PeftSite*> stored = in_order_of(sites, adapter, where);
  at::Tensor values = at::zeros({layout.size()}, at::kFloat);
  std::set<std::string> copied;
  for (size_t s = 0; s < stored.size(); ++s)
    for (size_t i = 0; i < stored[s]->tensors.size(); ++i) {
      const ParameterInfo* tensor = layout.find(name_of(sites[s].site, i));
      if (!tensor || !copied.insert(tensor->name).second) continue;
      check_fits(adapter, stored[s]->tensors[i], sites[s].site, *tensor, where);
      std::ranges::copy(stored[s]->tensors[i].values, values.data_ptr<float>() + tensor->offset);
    }
  return values;
}

std::vector<float> floats_of(const at::Tensor& values) {
  const at::Tensor flat = values.to(at::kCPU, at::kFloat).contiguous();
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

PeftTensor peft_tensor(const at::Tensor& values) { return {values.sizes().vec(), floats_of(values)}; }

}  // namespace gaggle
