// Writing a PEFT LoRA: a config that gives every site its own rank and scale back, and the tensors.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "formats/peft.h"
#include "formats/peft_parts.h"

namespace gaggle {
namespace {

using namespace peft_parts;

// alpha with alpha / rank == scale in PEFT's double arithmetic; whole numbers where they do it.
double alpha_for(double scale, int64_t rank) {
  const auto r = static_cast<double>(rank);
  const double whole = std::round(scale * r);
  if (whole / r == scale) return whole;
  const double near = scale * r;
  for (double alpha : {near, std::nextafter(near, 0.0), std::nextafter(near, 2 * near)})
    if (alpha / r == scale) return alpha;
  return near;
}

ordered_json number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

template <class T>
T most_common(const std::vector<std::pair<std::string, T>>& values) {
  std::map<T, size_t> counts;
  for (const auto& [site, value] : values) ++counts[value];
  const auto most = std::max_element(counts.begin(), counts.end(), [](const auto& left, const auto& right) {
    return left.second < right.second;
  });
  return most->first;
}

// What differs from `common`: by ending where all sites of an ending agree, else by path. PEFT takes keys for
// regular expressions (dots are escaped) and the first that matches; no site has two here.
template <class T>
ordered_json pattern_of(const std::vector<std::pair<std::string, T>>& values, T common) {
  std::map<std::string, std::set<T>> by_ending;
  for (const auto& [site, value] : values) by_ending[ending_of(site)].insert(value);
  ordered_json pattern = ordered_json::object();
  for (const auto& [site, value] : values) {
    const std::string ending = ending_of(site);
    if (value == common) continue;
    std::string key = by_ending[ending].size() == 1 ? ending : site;
    for (size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 2))
      key.insert(dot, "\\");
    pattern[key] = number(static_cast<double>(value));
  }
  return pattern;
}

}  // namespace

std::string peft_config_json(const PeftLora& lora, const std::vector<std::string>& all_sites) {
  GAGGLE_CHECK(!lora.sites.empty());
  std::vector<std::pair<std::string, int64_t>> ranks;
  std::vector<std::pair<std::string, double>> alphas;
  std::set<std::string> adapted;
  for (const PeftLoraSite& site : lora.sites) {
    adapted.insert(site.site);
    ranks.emplace_back(site.site, site.rank);
    alphas.emplace_back(site.site, alpha_for(site.scale, site.rank));
  }
  const int64_t rank = most_common(ranks);
  const double alpha = most_common(alphas);
  ordered_json config;
  config["alpha_pattern"] = pattern_of(alphas, alpha);
  config["base_model_name_or_path"] = lora.base.name;
  config["bias"] = "none";
  config["inference_mode"] = true;
  config["lora_alpha"] = number(alpha);
  config["lora_dropout"] = 0.0;
  config["peft_type"] = "LORA";
  config["r"] = rank;
  config["rank_pattern"] = pattern_of(ranks, rank);
  config["target_modules"] = target_names(adapted, all_sites);
  config["task_type"] = task_type_json(lora.base);
  return config.dump(2) + "\n";
}

std::vector<NamedTensor> peft_tensors(const PeftLora& lora, DType dtype) {
  std::vector<NamedTensor> tensors;
  for (const PeftLoraSite& site : lora.sites) {
    tensors.push_back(
        from_float(tensor_name(site.site, ".lora_A.weight"), {site.rank, site.d_in}, site.a, dtype));
    tensors.push_back(
        from_float(tensor_name(site.site, ".lora_B.weight"), {site.d_out, site.rank}, site.b, dtype));
  }
  std::ranges::sort(tensors, {}, &NamedTensor::name);
  return tensors;
}

}  // namespace gaggle
