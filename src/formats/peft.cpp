// Reading a PEFT folder; what is refused by the config alone stands in peft_config.cpp.
#include "formats/peft.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/names.h"
#include "formats/peft_config.h"
#include "formats/peft_files.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"

namespace gaggle {
namespace {

using namespace peft_parts;

constexpr const char* config_file = "adapter_config.json";
constexpr int64_t any = -1;  // a width, which the config does not tell

ordered_json read_config(const fs::path& folder) {
  const fs::path file = folder / config_file;
  if (!fs::exists(file)) user_error("{}: no PEFT folder: adapter_config.json is not there", folder.string());
  try {
    ordered_json config = parse_json<nlohmann::ordered_json>(read_file(file));
    if (!config.is_object()) user_error("{}: not a JSON object", file.string());
    return config;
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: {}", file.string(), error.what());
  }
}

// PEFT's file: the one of today before that of PEFT up to 0.6, as PEFT chooses; or MLX's.
std::unique_ptr<TensorFile> open_tensors(const fs::path& folder, bool mlx) {
  std::unique_ptr<TensorFile> file;
  const char* safe = mlx ? "adapters.safetensors" : "adapter_model.safetensors";
  if (fs::exists(folder / safe))
    file = std::make_unique<SafetensorsFile>(folder / safe);
  else if (!mlx && fs::exists(folder / "adapter_model.bin"))
    file = std::make_unique<TorchFile>(folder / "adapter_model.bin");
  else
    user_error("{}: {} is not there{}", folder.string(), safe, mlx ? "" : ", nor adapter_model.bin");
  if (file->tensors().empty()) user_error("{}: there is no tensor in it", file->name());
  return file;
}

// A model with several adapters is saved with a folder for each.
void refuse_folder_of_adapters(const fs::path& folder) {
  if (fs::exists(folder / config_file) || !fs::is_directory(folder)) return;
  std::vector<std::string> inside;
  for (const auto& entry : fs::directory_iterator(folder))
    if (fs::exists(entry.path() / config_file)) inside.push_back(entry.path().filename());
  std::ranges::sort(inside);
  if (!inside.empty())
    user_error("{}: its adapters lie in folders of their own ({}): name one of these", folder.string(),
               join(inside, ", "));
}

// Tensors "base_model.model.<module><suffix>" by module, one for each suffix and in their order. Throws UserError:
// other tensors, a module that has one suffix but not another.
using Parts = std::vector<const TensorView*>;
std::map<std::string, Parts> by_module(const PeftFiles& files, const PeftForm& form) {
  const std::vector<std::string>& suffixes = form.suffixes;
  std::map<std::string, Parts> found;
  for (const TensorView& tensor : files.tensors) {
    const std::string& name = tensor.name;
    const auto suffix = std::ranges::find_if(suffixes, [&](const auto& end) { return name.ends_with(end); });
    if (!name.starts_with(tensor_prefix) || suffix == suffixes.end() ||
        name.size() <= tensor_prefix.size() + suffix->size())
      user_error("{}: tensor {} is no part of {} (base_model.model.<module>{})", files.name(), name, form.what,
                 join(suffixes, ", "));
    Parts& parts = found[name.substr(tensor_prefix.size(), name.size() - tensor_prefix.size() - suffix->size())];
    parts.resize(suffixes.size());
    parts[static_cast<size_t>(suffix - suffixes.begin())] = &tensor;
  }
  for (const auto& [module, parts] : found) {
    const auto missing = std::ranges::find(parts, nullptr);
    if (missing == parts.end()) continue;
    const auto present = std::ranges::find_if(parts, [](const TensorView* part) { return part; });
    const auto name = [&, first = parts.begin()](auto part) {  // "lora_A" of ".lora_A.weight"
      const std::string& suffix = suffixes[static_cast<size_t>(part - first)];
      return suffix.substr(1, suffix.find('.', 1) - 1);
    };
    user_error("{}: {} has {} but not {}", files.name(), module, name(present), name(missing));
  }
  return found;
}

std::vector<float> values_of(const TensorView& tensor, const std::string& file) {
  if (tensor.dtype != DType::f32 && tensor.dtype != DType::f16 && tensor.dtype != DType::bf16)
    user_error("{}: tensor {} has type {}; expected F32, F16 or BF16", file, tensor.name, name_of(tensor.dtype));
  std::vector<float> values(static_cast<size_t>(tensor.count()));
  to_float(tensor, values);
  return values;
}

struct ExpectedShape {
  std::vector<int64_t> shape;
  const char* words;
};

std::vector<ExpectedShape> expected_shapes(const PeftConfig& c, const PeftSite& site) {
  const int64_t h = c.heads, k = c.skills, r = site.rank;
  const ExpectedShape logits{{c.tasks, h * k}, "[n_tasks, n_splits · n_skills]"};
  switch (c.kind) {
    case PeftKind::lora:
      return {{{r, any}, "[r, d_in]"}, {{any, r}, "[d_out, r]"}};
    case PeftKind::poly:
      return {{{h, k, any, r}, "[n_splits, n_skills, d_in / n_splits, r]"},
              {{h, k, r, any}, "[n_splits, n_skills, r, d_out / n_splits]"},
              logits};
    case PeftKind::ia3:
      if (site.feedforward) return {{{1, any}, "[1, d_in] of a feed-forward module"}};
      return {{{any, 1}, "[d_out, 1]"}};
    case PeftKind::poly_ia3:
      return {{{h, k, any}, "[n_splits, n_skills, width / n_splits]"}, logits};
  }
  return {};
}

std::string sizes_words(const PeftConfig& config, const PeftSite& site) {
  if (config.kind == PeftKind::lora) return fmt::format(" of rank {}", site.rank);
  if (config.tasks == 0) return "";
  return fmt::format(" with n_splits {}, n_skills {}, r {} and n_tasks {}", config.heads, config.skills, site.rank,
                     config.tasks);
}

PeftTensor read_tensor(const TensorView& tensor, ExpectedShape expected, const PeftConfig& config, const PeftSite& site,
                       const std::string& file) {
  if (tensor.count() == 0) refuse_not_gathered(file, tensor.name);
  for (size_t i = 0; i < expected.shape.size() && i < tensor.shape.size(); ++i)
    if (expected.shape[i] == any && tensor.shape[i] > 0) expected.shape[i] = tensor.shape[i];
  if (tensor.shape != expected.shape)
    user_error("{}: {} is {}; expected {}{} by adapter_config.json", file, tensor.name, shape_text(tensor.shape),
               expected.words, sizes_words(config, site));
  return {tensor.shape, values_of(tensor, file)};
}

PeftSite read_site(const std::string& module, const Parts& parts, const PeftConfig& config, const std::string& file) {
  if (!targets(config, module))
    user_error("{}: {} has tensors, but target_modules of adapter_config.json does not name it", file, module);
  PeftSite site;
  site.site = module;
  if (config.kind == PeftKind::lora) site.scale = scale_of(config, module);
  if (config.kind == PeftKind::lora || config.kind == PeftKind::poly) site.rank = rank_of(config, module);
  site.feedforward = config.feedforward_modules.matches(module);
  const std::vector<ExpectedShape> expected = expected_shapes(config, site);
  for (size_t i = 0; i < parts.size(); ++i)
    site.tensors.push_back(read_tensor(*parts[i], expected[i], config, site, file));
  return site;
}

}  // namespace

PeftBase peft_base(const ModelSpec& spec) { return {spec.name, spec.encoder_decoder() ? "SEQ_2_SEQ_LM" : "CAUSAL_LM"}; }

PeftWidths widths_of(const PeftAdapter& adapter, const PeftSite& site) {
  const auto& first = site.tensors[0].shape;
  if (adapter.kind == PeftKind::lora) return {first[1], site.tensors[1].shape[0]};
  if (adapter.kind == PeftKind::poly) return {adapter.heads * first[2], adapter.heads * site.tensors[1].shape[3]};
  const auto width = static_cast<int64_t>(site.tensors[0].values.size()) / adapter.skills;
  return site.feedforward ? PeftWidths{width, 0} : PeftWidths{0, width};
}

PeftFiles open_peft(const fs::path& folder, const std::vector<std::string>& drop) {
  PeftFiles files;
  files.folder = folder;
  refuse_folder_of_adapters(folder);
  files.config = read_config(folder);
  files.file = open_tensors(folder, is_mlx(files.config));
  files.tensors = files.file->tensors();
  bring_to_peft(files, drop);
  return files;
}

PeftAdapter parse_peft(const PeftFiles& files, const std::vector<PeftKind>& kinds) {
  const PeftConfig config = parse_peft_config(files.config, (files.folder / config_file).string(), kinds);
  warn_of_unknown_keys(files.config, (files.folder / config_file).string(), config.kind);
  for (const TensorView& tensor : files.tensors) {
    if (tensor.name.find("lora_magnitude_vector") != std::string::npos)
      user_error("{}: tensor {} belongs to DoRA, which is not supported", files.name(), tensor.name);
    if (tensor.name.ends_with(".bias"))
      user_error("{}: tensor {} is a bias; adapters that train biases are not supported", files.name(), tensor.name);
  }
  const DType first = files.tensors.front().dtype;
  const bool alike = std::ranges::all_of(files.tensors, [&](const TensorView& t) { return t.dtype == first; });
  PeftAdapter adapter{config.kind,  config.base, alike ? first : DType::f32, config.tasks, config.skills,
                      config.heads, {}};
  for (const auto& [module, parts] : by_module(files, form_of(config.kind)))
    adapter.sites.push_back(read_site(module, parts, config, files.name()));
  adapter.not_finite = not_finite(files.tensors, files.name());  // what was dropped may hold anything
  return adapter;
}

PeftAdapter read_peft(const fs::path& folder, const std::vector<PeftKind>& kinds) {
  return parse_peft(open_peft(folder), kinds);
}

void require_finite(const PeftAdapter& adapter) {
  if (!adapter.not_finite.empty())
    throw NotFinite(
        fmt::format("{}; expected finite numbers (training that diverges leaves others)", adapter.not_finite));
}

std::vector<std::string> targets_without_tensors(const PeftFiles& files, const PeftAdapter& adapter,
                                                 const std::vector<std::string>& modules) {
  const PeftConfig config = parse_peft_config(files.config, (files.folder / config_file).string(), all_peft_kinds);
  std::set<std::string> sites;
  for (const PeftSite& site : adapter.sites) sites.insert(site.site);
  std::vector<std::string> without;
  for (const std::string& module : modules)
    if (targets(config, module) && !sites.contains(module)) without.push_back(module);
  if (!modules.empty()) return without;
  for (const std::string& ending : config.target_modules.endings)
    if (std::ranges::none_of(sites, [&](const auto& site) { return PeftModules{{ending}}.matches(site); }))
      without.push_back(ending);
  return without;
}

void read_gates(const fs::path& file, PeftAdapter& lora) {
  const SafetensorsFile gates(file);
  for (const TensorView& gate : gates.tensors()) {
    const auto site =
        std::ranges::find_if(lora.sites, [&](const PeftSite& s) { return gate.name == s.site + gate_suffix; });
    if (site == lora.sites.end())
      user_error("{}: gate {} belongs to no site of this expert (\"<module path>.gate\")", file.string(), gate.name);
    const int64_t width = widths_of(lora, *site).in;
    if (gate.dtype != DType::f32 || gate.shape != std::vector<int64_t>{width})
      user_error("{}: gate {} is {} {}; expected F32 [{}], the site's width", file.string(), gate.name,
                 name_of(gate.dtype), shape_text(gate.shape), width);
    site->gate = values_of(gate, file.string());
  }
  if (lora.not_finite.empty()) lora.not_finite = not_finite(gates);
}

}  // namespace gaggle
