// Reading a PEFT Poly folder.
#include "formats/peft_poly.h"

#include "base/error.h"
#include "formats/peft_parts.h"

namespace gaggle {
namespace {

using namespace peft_parts;

const std::vector<std::string> poly_suffixes = {".poly_lora_A", ".poly_lora_B", ".poly_router.module_logits"};

struct PolyConfig {
  PeftBase base;
  int64_t rank = 8, tasks = 1, skills = 4, heads = 1;  // PEFT's defaults
  PeftModules target_modules, exclude_modules;
};

PolyConfig read_poly_config(const fs::path& folder) {
  const ordered_json config = read_config(folder);
  const std::string file = (folder / config_file).string();
  refuse_other_type(config, file, "POLY");
  refuse_saved_modules(config, file);
  if (const auto& type = value_of(config, "poly_type"); is_set(type) && text_of(type) != "poly")
    user_error("{}: poly_type is {}; only \"poly\" is read", file, type.dump());
  warn_of_unknown_keys(config, file, {"init_weights", "n_skills", "n_splits", "n_tasks", "poly_type"});
  PolyConfig poly;
  poly.base = base_of(config);
  const auto read = [&](const char* key, int64_t& number) {
    if (const auto& value = value_of(config, key); !value.is_null()) number = whole_number(value, file, key);
  };
  read("r", poly.rank);
  read("n_tasks", poly.tasks);
  read("n_skills", poly.skills);
  read("n_splits", poly.heads);
  poly.target_modules = target_modules(config, file);
  poly.exclude_modules = modules(config, file, "exclude_modules");
  return poly;
}

PeftPolySite read_poly_site(const std::string& module, const Parts& parts, const PolyConfig& config,
                            const std::string& file) {
  if (!config.target_modules.matches(module) || config.exclude_modules.matches(module))
    not_targeted(module, file);
  // -1 in `expected`: the width, which the config does not tell.
  const auto expect = [&](const TensorView& tensor, std::vector<int64_t> expected, const char* words) {
    for (size_t i = 0; i < expected.size() && i < tensor.shape.size(); ++i)
      if (expected[i] < 0 && tensor.shape[i] > 0) expected[i] = tensor.shape[i];
    if (tensor.shape != expected)
      user_error(
          "{}: {} is {}; expected {} with n_splits {}, n_skills {}, r {} and n_tasks {} of adapter_config.json",
          file, tensor.name, shape_text(tensor.shape), words, config.heads, config.skills, config.rank,
          config.tasks);
  };
  expect(*parts[0], {config.heads, config.skills, -1, config.rank}, "[n_splits, n_skills, d_in / n_splits, r]");
  expect(*parts[1], {config.heads, config.skills, config.rank, -1},
         "[n_splits, n_skills, r, d_out / n_splits]");
  expect(*parts[2], {config.tasks, config.heads * config.skills}, "[n_tasks, n_splits · n_skills]");
  PeftPolySite site;
  site.site = module;
  site.rank = config.rank;
  site.d_in = config.heads * parts[0]->shape[2];
  site.d_out = config.heads * parts[1]->shape[3];
  site.a = values_of(*parts[0], file);
  site.b = values_of(*parts[1], file);
  site.logits = values_of(*parts[2], file);
  return site;
}

}  // namespace

PeftPoly read_peft_poly(const fs::path& folder) {
  const PolyConfig config = read_poly_config(folder);
  const SafetensorsFile file = open_tensors(folder);
  PeftPoly poly;
  poly.base = config.base;
  poly.dtype = common_dtype(file.tensors());
  poly.tasks = config.tasks;
  poly.skills = config.skills;
  poly.heads = config.heads;
  for (const auto& [module, parts] : by_module(file, poly_suffixes, "a Poly adapter on linears"))
    poly.sites.push_back(read_poly_site(module, parts, config, file.name()));
  return poly;
}

}  // namespace gaggle
