#include "formats/peft_parts.h"

#include <algorithm>

#include "base/error.h"
#include "base/names.h"

namespace gaggle {

bool PeftModules::matches(const std::string& module) const {
  if (all) return true;
  if (regex) return regex->fullmatch(module);
  return std::any_of(endings.begin(), endings.end(), [&](const std::string& ending) {
    return module == ending || module.ends_with("." + ending);
  });
}

namespace peft_parts {
namespace {

constexpr std::string_view prefix = "base_model.model.";

// ".lora_A.weight" → "lora_A", for sentences.
std::string part_name(const std::string& suffix) {
  return suffix.substr(1, suffix.find('.', 1) - 1);
}

}  // namespace

const PeftForm& form_of(PeftKind kind) {
  static const std::string logits = ".poly_router.module_logits";
  static const PeftForm forms[] = {
      {"LORA",
       "a plain LoRA on linears",
       {".lora_A.weight", ".lora_B.weight"},
       {"alora_invocation_tokens",
        "alpha_pattern",
        "arrow_config",
        "bias",
        "corda_config",
        "ensure_weight_tying",
        "eva_config",
        "fan_in_fan_out",
        "init_lora_weights",
        "layer_replication",
        "layers_pattern",
        "layers_to_transform",
        "loftq_config",
        "lora_alpha",
        "lora_bias",
        "lora_dropout",
        "megatron_config",
        "megatron_core",
        "qalora_group_size",
        "rank_pattern",
        "target_parameters",
        "trainable_token_indices",
        "use_dora",
        "use_qalora",
        "use_rslora"}},
      {"POLY",
       "a Poly adapter on linears",
       {".poly_lora_A", ".poly_lora_B", logits},
       {"init_weights", "n_skills", "n_splits", "n_tasks", "poly_type"}},
      {"IA3", "(IA)³", {".ia3_l"}, {"fan_in_fan_out", "feedforward_modules", "init_ia3_weights"}},
      {"GAGGLE_POLY_IA3",
       "(IA)³",
       {".poly_ia3_l", logits},
       {"feedforward_modules", "n_skills", "n_splits", "n_tasks"}}};
  return forms[static_cast<size_t>(kind)];
}

ordered_json read_config(const fs::path& folder) {
  const fs::path file = folder / config_file;
  if (!fs::exists(file)) user_error("{}: no PEFT folder: adapter_config.json is not there", folder.string());
  try {
    ordered_json config = ordered_json::parse(read_file(file));
    if (!config.is_object()) user_error("{}: not a JSON object", file.string());
    return config;
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: {}", file.string(), error.what());
  }
}

SafetensorsFile open_tensors(const fs::path& folder) {
  const fs::path path = folder / tensor_file;
  if (!fs::exists(path))
    user_error("{}: adapter_model.safetensors is not there{}", folder.string(),
               fs::exists(folder / "adapter_model.bin")
                   ? " (adapter_model.bin is a pickle, which is never read: save the adapter as safetensors)"
                   : "");
  SafetensorsFile file(path);
  if (file.tensors().empty()) user_error("{}: there is no tensor in it", file.name());
  return file;
}

const ordered_json& value_of(const ordered_json& config, const char* key) {
  static const ordered_json none;
  const auto found = config.find(key);
  return found == config.end() ? none : *found;
}

bool is_set(const ordered_json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_string()) return !value.get<std::string>().empty();
  return !value.is_null() && !((value.is_array() || value.is_object()) && value.empty());
}

std::string text_of(const ordered_json& value) {
  return value.is_string() ? value.get<std::string>() : "";
}

void mistyped(const std::string& file, const char* key, const ordered_json& value, const char* expected) {
  user_error("{}: {} is {}; expected {}", file, key, value.dump(), expected);
}

std::vector<std::string> texts(const ordered_json& value, const std::string& file, const char* key) {
  if (value.is_string()) return {value.get<std::string>()};
  std::vector<std::string> found;
  if (!value.is_array()) mistyped(file, key, value, "a list of names");
  for (const auto& item : value) {
    if (!item.is_string()) mistyped(file, key, value, "a list of names");
    found.push_back(item);
  }
  return found;
}

int64_t whole_number(const ordered_json& value, const std::string& file, const char* key) {
  if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > 65536)
    mistyped(file, key, value, "a whole number of at least 1");
  return value;
}

PeftModules modules(const ordered_json& config, const std::string& file, const char* key) {
  PeftModules found;
  const ordered_json& value = value_of(config, key);
  if (!is_set(value)) return found;
  if (!value.is_string())
    found.endings = texts(value, file, key);
  else if (value == "all-linear")
    found.all = true;
  else
    found.regex.emplace(value.get<std::string>(), file + ": " + key);
  return found;
}

std::string ending_of(const std::string& module) {
  return module.substr(module.rfind('.') + 1);
}

std::string tensor_name(const std::string& module, const std::string& suffix) {
  return std::string(prefix) + module + suffix;
}

std::map<std::string, Parts> by_module(const SafetensorsFile& file, const PeftForm& form) {
  const std::vector<std::string>& suffixes = form.suffixes;
  std::map<std::string, Parts> found;
  for (const TensorView& tensor : file.tensors()) {
    const std::string& name = tensor.name;
    const auto suffix = std::ranges::find_if(suffixes, [&](const auto& end) { return name.ends_with(end); });
    if (!name.starts_with(prefix) || suffix == suffixes.end() || name.size() <= prefix.size() + suffix->size())
      user_error("{}: tensor {} is no part of {} (base_model.model.<module>{})", file.name(), name, form.what,
                 join(suffixes, ", "));
    Parts& parts = found[name.substr(prefix.size(), name.size() - prefix.size() - suffix->size())];
    parts.resize(suffixes.size());
    parts[static_cast<size_t>(suffix - suffixes.begin())] = &tensor;
  }
  for (const auto& [module, parts] : found) {
    const auto missing = std::ranges::find(parts, nullptr);
    if (missing == parts.end()) continue;
    const auto present = std::ranges::find_if(parts, [](const TensorView* part) { return part; });
    const auto name = [&, first = parts.begin()](auto part) {
      return part_name(suffixes[static_cast<size_t>(part - first)]);
    };
    user_error("{}: {} has {} but not {}", file.name(), module, name(present), name(missing));
  }
  return found;
}

std::vector<float> values_of(const TensorView& tensor, const std::string& file) {
  if (tensor.dtype != DType::f32 && tensor.dtype != DType::f16 && tensor.dtype != DType::bf16)
    user_error("{}: tensor {} has type {}; expected F32, F16 or BF16", file, tensor.name,
               name_of(tensor.dtype));
  std::vector<float> values(static_cast<size_t>(tensor.count()));
  to_float(tensor, values);
  return values;
}

DType common_dtype(const std::vector<TensorView>& tensors) {
  for (const TensorView& tensor : tensors)
    if (tensor.dtype != tensors.front().dtype) return DType::f32;
  return tensors.front().dtype;
}

}  // namespace peft_parts
}  // namespace gaggle
