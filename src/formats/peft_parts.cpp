#include "formats/peft_parts.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
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

PeftBase base_of(const ordered_json& config) {
  return {text_of(value_of(config, "base_model_name_or_path")), text_of(value_of(config, "task_type"))};
}

ordered_json task_type_json(const PeftBase& base) {
  return base.task_type.empty() ? ordered_json(nullptr) : ordered_json(base.task_type);
}

int64_t whole_number(const ordered_json& value, const std::string& file, const char* key) {
  if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > 65536)
    mistyped(file, key, value, "a whole number of at least 1");
  return value;
}

void refuse_other_type(const ordered_json& config, const std::string& file, const char* expected) {
  const ordered_json& type = value_of(config, "peft_type");
  if (text_of(type) != expected)
    user_error("{}: peft_type is {}; only \"{}\" is read", file, type.dump(), expected);
}

void refuse_saved_modules(const ordered_json& config, const std::string& file) {
  if (const auto& saved = value_of(config, "modules_to_save"); is_set(saved))
    user_error("{}: modules_to_save {}: adapters that replace whole modules are not supported", file,
               saved.dump());
}

void warn_of_unknown_keys(const ordered_json& config, const std::string& file,
                          const std::set<std::string>& known) {
  static const std::set<std::string> of_every_method{"auto_mapping",    "base_model_name_or_path",
                                                     "exclude_modules", "inference_mode",
                                                     "modules_to_save", "peft_type",
                                                     "peft_version",    "r",
                                                     "revision",        "runtime_config",
                                                     "target_modules",  "task_type"};
  std::vector<std::string> unknown;
  for (const auto& [key, value] : config.items())
    if (!known.contains(key) && !of_every_method.contains(key) && is_set(value)) unknown.push_back(key);
  if (!unknown.empty())
    log::warning("{}: keys that are not known here are left out: {}", file, join(unknown, ", "));
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

PeftModules target_modules(const ordered_json& config, const std::string& file) {
  if (!is_set(value_of(config, "target_modules")))
    user_error("{}: target_modules is missing; expected a list of module names, a regex or \"all-linear\"",
               file);
  return modules(config, file, "target_modules");
}

void not_targeted(const std::string& module, const std::string& file) {
  user_error("{}: {} has tensors, but target_modules of adapter_config.json does not name it", file, module);
}

std::string ending_of(const std::string& module) {
  return module.substr(module.rfind('.') + 1);
}

std::vector<std::string> target_names(const std::set<std::string>& adapted,
                                      const std::vector<std::string>& all_sites) {
  std::set<std::string> incomplete, names;
  for (const std::string& site : all_sites)
    if (!adapted.contains(site)) incomplete.insert(ending_of(site));
  for (const std::string& site : adapted)
    names.insert(incomplete.contains(ending_of(site)) ? site : ending_of(site));
  return {names.begin(), names.end()};
}

std::string tensor_name(const std::string& module, const std::string& suffix) {
  return std::string(prefix) + module + suffix;
}

std::map<std::string, Parts> by_module(const SafetensorsFile& file, const std::vector<std::string>& suffixes,
                                       const std::string& what) {
  std::map<std::string, Parts> found;
  for (const TensorView& tensor : file.tensors()) {
    const std::string& name = tensor.name;
    const auto suffix = std::ranges::find_if(suffixes, [&](const auto& end) { return name.ends_with(end); });
    if (!name.starts_with(prefix) || suffix == suffixes.end() || name.size() <= prefix.size() + suffix->size())
      user_error("{}: tensor {} is no part of {} (base_model.model.<module>{})", file.name(), name, what,
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
