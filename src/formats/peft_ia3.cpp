#include "formats/peft_ia3.h"

#include <algorithm>

#include "base/error.h"
#include "formats/peft_parts.h"

namespace gaggle {
namespace {

using namespace peft_parts;

const std::vector<std::string> own_suffixes = {".ia3_l"};
const std::vector<std::string> poly_form_suffixes = {".poly_ia3_l", ".poly_router.module_logits"};

void expect_shape(const TensorView& tensor, const std::vector<int64_t>& expected, const char* words,
                  const std::string& file) {
  if (tensor.shape != expected)
    user_error("{}: {} is {}; expected {} by adapter_config.json", file, tensor.name, shape_text(tensor.shape),
               words);
}

// Width and values of one module's tensors.
void read_parts(PeftIa3Site& site, const Parts& parts, const PeftIa3& ia3, const std::string& file) {
  const TensorView& l = *parts[0];
  int64_t width = 1;
  for (const int64_t n : l.shape) width *= n;
  if (ia3.tasks == 0) {
    site.width = width;
    if (site.feedforward)
      expect_shape(l, {1, width}, "[1, d_in] of a feed-forward module", file);
    else
      expect_shape(l, {width, 1}, "[d_out, 1]", file);
  } else {
    site.width = width / ia3.skills;
    expect_shape(l, {ia3.heads, ia3.skills, site.width / ia3.heads}, "[n_splits, n_skills, width / n_splits]",
                 file);
    expect_shape(*parts[1], {ia3.tasks, ia3.heads * ia3.skills}, "[n_tasks, n_splits · n_skills]", file);
    site.logits = values_of(*parts[1], file);
  }
  if (width == 0) user_error("{}: {} is empty", file, l.name);
  site.l = values_of(l, file);
}

}  // namespace

PeftIa3 read_peft_ia3(const fs::path& folder) {
  const ordered_json config = read_config(folder);
  const std::string config_path = (folder / config_file).string();
  PeftIa3 ia3;
  const bool poly = text_of(value_of(config, "peft_type")) == poly_ia3_type;
  if (!poly) refuse_other_type(config, config_path, "IA3");
  refuse_saved_modules(config, config_path);
  warn_of_unknown_keys(
      config, config_path,
      {"fan_in_fan_out", "feedforward_modules", "init_ia3_weights", "n_skills", "n_splits", "n_tasks"});
  ia3.base = base_of(config);
  if (poly) {
    ia3.tasks = whole_number(value_of(config, "n_tasks"), config_path, "n_tasks");
    ia3.skills = whole_number(value_of(config, "n_skills"), config_path, "n_skills");
    ia3.heads = whole_number(value_of(config, "n_splits"), config_path, "n_splits");
  }
  const PeftModules targets = target_modules(config, config_path);
  const PeftModules excluded = modules(config, config_path, "exclude_modules");
  const PeftModules feedforward = modules(config, config_path, "feedforward_modules");
  const SafetensorsFile file = open_tensors(folder);
  ia3.dtype = common_dtype(file.tensors());
  for (const auto& [module, parts] : by_module(file, poly ? poly_form_suffixes : own_suffixes, "(IA)³")) {
    if (!targets.matches(module) || excluded.matches(module)) not_targeted(module, file.name());
    PeftIa3Site& site = ia3.sites.emplace_back();
    site.site = module;
    site.feedforward = feedforward.matches(module);
    read_parts(site, parts, ia3, file.name());
  }
  return ia3;
}

std::string peft_ia3_config_json(const PeftIa3& ia3, const std::vector<std::string>& all_sites) {
  GAGGLE_CHECK(!ia3.sites.empty());
  std::set<std::string> adapted, feedforward;
  for (const PeftIa3Site& site : ia3.sites) {
    adapted.insert(site.site);
    if (site.feedforward) feedforward.insert(site.site);
  }
  ordered_json config;
  config["base_model_name_or_path"] = ia3.base.name;
  config["feedforward_modules"] = target_names(feedforward, all_sites);
  config["inference_mode"] = true;
  if (ia3.tasks > 0) {
    config["n_skills"] = ia3.skills;
    config["n_splits"] = ia3.heads;
    config["n_tasks"] = ia3.tasks;
  }
  config["peft_type"] = ia3.tasks > 0 ? poly_ia3_type : "IA3";
  config["target_modules"] = target_names(adapted, all_sites);
  config["task_type"] = task_type_json(ia3.base);
  return config.dump(2) + "\n";
}

std::vector<NamedTensor> peft_ia3_tensors(const PeftIa3& ia3, DType dtype) {
  std::vector<NamedTensor> tensors;
  for (const PeftIa3Site& site : ia3.sites) {
    const auto add = [&](const std::string& suffix, std::vector<int64_t> shape,
                         const std::vector<float>& values) {
      tensors.push_back(from_float(tensor_name(site.site, suffix), std::move(shape), values, dtype));
    };
    if (ia3.tasks == 0) {
      add(own_suffixes[0],
          site.feedforward ? std::vector<int64_t>{1, site.width} : std::vector<int64_t>{site.width, 1}, site.l);
    } else {
      add(poly_form_suffixes[0], {ia3.heads, ia3.skills, site.width / ia3.heads}, site.l);
      add(poly_form_suffixes[1], {ia3.tasks, ia3.heads * ia3.skills}, site.logits);
    }
  }
  std::ranges::sort(tensors, {}, &NamedTensor::name);
  return tensors;
}

PeftIa3 mean_of_skills(const PeftIa3& ia3) {
  PeftIa3 mean;
  mean.base = ia3.base;
  for (const PeftIa3Site& from : ia3.sites) {
    PeftIa3Site& site = mean.sites.emplace_back();
    site.site = from.site;
    site.feedforward = from.feedforward;
    site.width = from.width;
    const int64_t n = from.width / ia3.heads;
    for (int64_t i = 0; i < from.width; ++i) {
      double sum = 0;
      for (int64_t k = 0; k < ia3.skills; ++k)
        sum += static_cast<double>(from.l[static_cast<size_t>((i / n * ia3.skills + k) * n + i % n)]);
      site.l.push_back(static_cast<float>(sum / static_cast<double>(ia3.skills)));
    }
  }
  return mean;
}

}  // namespace gaggle
