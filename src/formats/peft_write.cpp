// Writing a PEFT folder: a config that gives every site its rank and scale back, and the tensors.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "formats/peft_parts.h"

namespace gaggle {
namespace {

using namespace peft_parts;

// alpha with alpha / rank == scale in PEFT's double arithmetic; whole numbers where they do it.
double alpha_for(double scale, int64_t rank) {
  const auto r = static_cast<double>(rank);
  const double near = scale * r;
  for (double alpha : {std::round(near), near, std::nextafter(near, 0.0), std::nextafter(near, 2 * near)})
    if (alpha / r == scale) return alpha;
  return near;
}

ordered_json number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

template <class T>
T most_common(const std::vector<T>& values) {
  std::map<T, size_t> counts;
  for (const T& value : values) ++counts[value];
  return std::ranges::max_element(counts, {}, [](const auto& counted) { return counted.second; })->first;
}

std::vector<std::string> target_names(const std::set<std::string>& adapted, const std::vector<std::string>& all_sites) {
  std::set<std::string> incomplete, names;
  for (const std::string& site : all_sites)
    if (!adapted.contains(site)) incomplete.insert(ending_of(site));
  for (const std::string& site : adapted) names.insert(incomplete.contains(ending_of(site)) ? site : ending_of(site));
  return {names.begin(), names.end()};
}

using AdapterKeys = std::map<std::string, ordered_json>;  // in the order in which they are written

// The patterns have what differs from r and lora_alpha: by ending where all sites of an ending agree, else by path.
// PEFT takes keys for regular expressions and the first that matches counts; no site has two here. Before 0.15, PEFT
// found a whole path only where its dots are plain, and looked once for the key of both tables: so theirs are the same.
void add_lora_keys(const PeftAdapter& lora, AdapterKeys& config) {
  std::vector<int64_t> ranks;
  std::vector<double> alphas;
  std::map<std::string, std::set<std::pair<int64_t, double>>> by_ending;
  for (const PeftSite& site : lora.sites) {
    ranks.push_back(site.rank);
    alphas.push_back(alpha_for(site.scale, site.rank));
    by_ending[ending_of(site.site)].emplace(ranks.back(), alphas.back());
  }
  const int64_t rank = most_common(ranks);
  const double alpha = most_common(alphas);
  ordered_json rank_pattern = ordered_json::object(), alpha_pattern = ordered_json::object();
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (ranks[i] == rank && alphas[i] == alpha) continue;
    const std::string &site = lora.sites[i].site, ending = ending_of(site);
    const std::string& key = by_ending[ending].size() == 1 ? ending : site;
    rank_pattern[key] = ranks[i];
    alpha_pattern[key] = number(alphas[i]);
  }
  config["alpha_pattern"] = alpha_pattern;
  config["bias"] = "none";
  config["lora_alpha"] = number(alpha);
  config["lora_dropout"] = 0.0;
  config["r"] = rank;
  config["rank_pattern"] = rank_pattern;
}

}  // namespace

std::string peft_config_json(const PeftAdapter& adapter, const std::vector<std::string>& all_sites) {
  GAGGLE_CHECK(!adapter.sites.empty());
  std::set<std::string> adapted, feedforward;
  for (const PeftSite& site : adapter.sites) {
    adapted.insert(site.site);
    if (site.feedforward) feedforward.insert(site.site);
  }
  const bool poly = adapter.kind == PeftKind::poly, lora = adapter.kind == PeftKind::lora;
  const std::string& task_type = adapter.base.task_type;
  AdapterKeys config = {{"base_model_name_or_path", adapter.base.name},
                        {"inference_mode", true},
                        {"peft_type", form_of(adapter.kind).type},
                        {"target_modules", target_names(adapted, all_sites)},
                        {"task_type", task_type.empty() ? ordered_json(nullptr) : ordered_json(task_type)}};
  if (lora) add_lora_keys(adapter, config);
  if (!lora && !poly) config["feedforward_modules"] = target_names(feedforward, all_sites);
  if (adapter.tasks > 0) {
    config["n_skills"] = adapter.skills;
    config["n_splits"] = adapter.heads;
    config["n_tasks"] = adapter.tasks;
  }
  if (poly) {
    config["poly_type"] = "poly";
    config["r"] = adapter.sites.front().rank;
    for (const PeftSite& site : adapter.sites)
      GAGGLE_CHECK(site.rank == adapter.sites.front().rank, "PEFT Poly has one rank; {} has another", site.site);
  }
  return ordered_json(config).dump(2) + "\n";
}

std::vector<NamedTensor> peft_tensors(const PeftAdapter& adapter, DType dtype) {
  const std::vector<std::string>& suffixes = form_of(adapter.kind).suffixes;
  std::vector<NamedTensor> tensors;
  for (const PeftSite& site : adapter.sites) {
    GAGGLE_CHECK(site.tensors.size() == suffixes.size(), "{} has {} tensors", site.site, site.tensors.size());
    for (size_t i = 0; i < suffixes.size(); ++i)
      tensors.push_back(
          from_float(tensor_name(site.site, suffixes[i]), site.tensors[i].shape, site.tensors[i].values, dtype));
  }
  std::ranges::sort(tensors, {}, &NamedTensor::name);
  return tensors;
}

std::vector<NamedTensor> gate_tensors(const PeftAdapter& lora) {
  std::vector<NamedTensor> tensors;
  for (const PeftSite& site : lora.sites)
    if (!site.gate.empty())
      tensors.push_back(
          from_float(site.site + gate_suffix, {static_cast<int64_t>(site.gate.size())}, site.gate, DType::f32));
  std::ranges::sort(tensors, {}, &NamedTensor::name);
  return tensors;
}

ordered_json sizes_json(const PeftAdapter& adapter) {
  int64_t rank = 0;
  for (const PeftSite& site : adapter.sites) rank = std::max(rank, site.rank);
  if (adapter.kind == PeftKind::lora) return {{"lora", {{"rank", rank}, {"sites", adapter.sites.size()}}}};
  if (adapter.tasks == 0) return ordered_json::object();
  ordered_json sizes = ordered_json::object();
  if (rank > 0) sizes["rank"] = rank;
  sizes.update({{"sites", adapter.sites.size()},
                {"tasks", adapter.tasks},
                {"skills", adapter.skills},
                {"heads", adapter.heads}});
  return {{"poly", sizes}};
}

PeftAdapter with_scale_in_b(PeftAdapter lora) {
  GAGGLE_CHECK(lora.kind == PeftKind::lora);
  int64_t most = 0;
  for (const PeftSite& site : lora.sites) most = std::max(most, site.rank);
  for (PeftSite& site : lora.sites) {
    PeftTensor &a = site.tensors[0], &b = site.tensors[1];
    const auto r = static_cast<size_t>(site.rank), rank = static_cast<size_t>(most);
    std::vector<float> wide(b.values.size() / r * rank);
    for (size_t i = 0; i < b.values.size(); ++i)
      wide[i / r * rank + i % r] = static_cast<float>(site.scale * static_cast<double>(b.values[i]));
    a.values.resize(a.values.size() / r * rank);
    a.shape[0] = b.shape[1] = site.rank = most;
    b.values = std::move(wide);
    site.scale = 1;
  }
  return lora;
}

}  // namespace gaggle
