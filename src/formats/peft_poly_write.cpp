// Writing a PEFT Poly folder, and its skills averaged as a plain LoRA.
#include <algorithm>

#include "base/error.h"
#include "formats/peft_parts.h"
#include "formats/peft_poly.h"

namespace gaggle {
namespace {

using namespace peft_parts;

// Mean over the skills of blocks [heads, skills, rows, columns] as [heads, rows, columns], summed in fp64.
std::vector<double> mean_over_skills(const std::vector<float>& blocks, int64_t heads, int64_t skills) {
  const size_t size = blocks.size() / static_cast<size_t>(heads * skills);
  std::vector<double> mean(size * static_cast<size_t>(heads));
  for (size_t head = 0; head < static_cast<size_t>(heads); ++head)
    for (size_t skill = 0; skill < static_cast<size_t>(skills); ++skill)
      for (size_t i = 0; i < size; ++i)
        mean[head * size + i] += blocks[(head * static_cast<size_t>(skills) + skill) * size + i];
  for (double& value : mean) value /= static_cast<double>(skills);
  return mean;
}

PeftLoraSite mean_site(const PeftPolySite& from, const PeftPoly& poly) {
  PeftLoraSite site{from.site, from.rank, 1.0 / static_cast<double>(from.rank), {}, {}, from.d_in, from.d_out};
  const std::vector<double> a = mean_over_skills(from.a, poly.heads, poly.skills);  // [d_in, r]
  const std::vector<double> b = mean_over_skills(from.b, poly.heads, poly.skills);  // [heads, r, d_out / heads]
  const auto r = static_cast<size_t>(from.rank), d_in = static_cast<size_t>(from.d_in);
  const auto d_out = static_cast<size_t>(from.d_out), block = d_out / static_cast<size_t>(poly.heads);
  site.a.resize(r * d_in);
  site.b.resize(d_out * r);
  for (size_t i = 0; i < d_in; ++i)
    for (size_t j = 0; j < r; ++j) site.a[j * d_in + i] = static_cast<float>(a[i * r + j]);
  for (size_t o = 0; o < d_out; ++o)
    for (size_t j = 0; j < r; ++j)
      site.b[o * r + j] = static_cast<float>(b[(o / block * r + j) * block + o % block]);
  return site;
}

}  // namespace

std::string peft_poly_config_json(const PeftPoly& poly, const std::vector<std::string>& all_sites) {
  GAGGLE_CHECK(!poly.sites.empty());
  std::set<std::string> adapted;
  for (const PeftPolySite& site : poly.sites) {
    GAGGLE_CHECK(site.rank == poly.sites.front().rank, "PEFT Poly has one rank; {} has another", site.site);
    adapted.insert(site.site);
  }
  ordered_json config;
  config["base_model_name_or_path"] = poly.base.name;
  config["inference_mode"] = true;
  config["n_skills"] = poly.skills;
  config["n_splits"] = poly.heads;
  config["n_tasks"] = poly.tasks;
  config["peft_type"] = "POLY";
  config["poly_type"] = "poly";
  config["r"] = poly.sites.front().rank;
  config["target_modules"] = target_names(adapted, all_sites);
  config["task_type"] = task_type_json(poly.base);
  return config.dump(2) + "\n";
}

std::vector<NamedTensor> peft_poly_tensors(const PeftPoly& poly, DType dtype) {
  std::vector<NamedTensor> tensors;
  for (const PeftPolySite& site : poly.sites) {
    GAGGLE_CHECK(site.d_in % poly.heads == 0 && site.d_out % poly.heads == 0,
                 "{} is {} wide in and {} out, which {} heads do not divide", site.site, site.d_in, site.d_out,
                 poly.heads);
    const auto add = [&](const char* suffix, std::vector<int64_t> shape, const std::vector<float>& values) {
      tensors.push_back(from_float(tensor_name(site.site, suffix), std::move(shape), values, dtype));
    };
    add(".poly_lora_A", {poly.heads, poly.skills, site.d_in / poly.heads, site.rank}, site.a);
    add(".poly_lora_B", {poly.heads, poly.skills, site.rank, site.d_out / poly.heads}, site.b);
    add(".poly_router.module_logits", {poly.tasks, poly.heads * poly.skills}, site.logits);
  }
  std::ranges::sort(tensors, {}, &NamedTensor::name);
  return tensors;
}

PeftLora mean_of_skills(const PeftPoly& poly) {
  PeftLora mean;
  mean.base = poly.base;
  for (const PeftPolySite& site : poly.sites) mean.sites.push_back(mean_site(site, poly));
  return mean;
}

}  // namespace gaggle
