#include "formats/peft_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/names.h"

namespace gaggle {
namespace {

using nlohmann::ordered_json;  // the order of rank_pattern's keys decides

const ordered_json& value_of(const ordered_json& config, const char* key) {
  static const ordered_json none;
  const auto found = config.find(key);
  return found == config.end() ? none : *found;
}

// null, false, "", [] and {} all mean: not used.
bool is_set(const ordered_json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_string()) return !value.get<std::string>().empty();
  return !value.is_null() && !((value.is_array() || value.is_object()) && value.empty());
}

[[noreturn]] void mistyped(const std::string& file, const char* key, const ordered_json& value,
                           const char* expected) {
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

double positive(const ordered_json& value, const std::string& file, const char* key) {
  if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0)
    mistyped(file, key, value, "a number above 0");
  return value;
}

int64_t rank(const ordered_json& value, const std::string& file, const char* key) {
  if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > 65536)
    mistyped(file, key, value, "a whole number of at least 1");
  return value;
}

PeftLoraConfig::Modules modules(const ordered_json& config, const std::string& file, const char* key) {
  PeftLoraConfig::Modules found;
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

// The keys whose use makes the adapter more, or other, than y = W x + scale B A x with the base as it is.
void refuse_other_methods(const ordered_json& config, const std::string& file) {
  const ordered_json& type = value_of(config, "peft_type");
  if (type != "LORA") user_error("{}: peft_type is {}; only \"LORA\" is read", file, type.dump());
  if (is_set(value_of(config, "use_dora"))) user_error("{}: use_dora: DoRA adapters are not supported", file);
  if (const auto& saved = value_of(config, "modules_to_save"); is_set(saved))
    user_error("{}: modules_to_save {}: adapters that replace whole modules are not supported", file,
               saved.dump());
  if (const auto& bias = value_of(config, "bias"); is_set(bias) && bias != "none")
    user_error("{}: bias {}: adapters that train biases are not supported", file, bias.dump());
  for (const char* key :
       {"lora_bias", "trainable_token_indices", "target_parameters", "layer_replication", "use_qalora",
        "alora_invocation_tokens", "arrow_config", "megatron_config", "fan_in_fan_out"})
    if (const auto& value = value_of(config, key); is_set(value))
      user_error("{}: {} {} is not supported", file, key, value.dump());
  if (const auto& start = value_of(config, "init_lora_weights"); start.is_string()) {
    const std::string method = start;
    for (const char* changing : {"pissa", "olora", "corda", "loftq"})
      if (method.starts_with(changing))
        user_error(
            "{}: init_lora_weights \"{}\" changes the base's weights: save the adapter converted to a plain "
            "LoRA "
            "(save_pretrained with path_initial_model_for_weight_conversion)",
            file, method);
  }
}

void warn_of_unknown_keys(const ordered_json& config, const std::string& file) {
  static const std::set<std::string> known{"alora_invocation_tokens",
                                           "alpha_pattern",
                                           "arrow_config",
                                           "auto_mapping",
                                           "base_model_name_or_path",
                                           "bias",
                                           "corda_config",
                                           "ensure_weight_tying",
                                           "eva_config",
                                           "exclude_modules",
                                           "fan_in_fan_out",
                                           "inference_mode",
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
                                           "modules_to_save",
                                           "peft_type",
                                           "peft_version",
                                           "qalora_group_size",
                                           "r",
                                           "rank_pattern",
                                           "revision",
                                           "runtime_config",
                                           "target_modules",
                                           "target_parameters",
                                           "task_type",
                                           "trainable_token_indices",
                                           "use_dora",
                                           "use_qalora",
                                           "use_rslora"};
  std::vector<std::string> unknown;
  for (const auto& [key, value] : config.items())
    if (!known.contains(key) && is_set(value)) unknown.push_back(key);
  if (!unknown.empty())
    log::warning("{}: keys that are not known here are left out: {}", file, join(unknown, ", "));
}

PeftLoraConfig read_config(const ordered_json& config, const std::string& file) {
  refuse_other_methods(config, file);
  warn_of_unknown_keys(config, file);
  PeftLoraConfig lora;
  if (const auto& base = value_of(config, "base_model_name_or_path"); base.is_string()) lora.base_name = base;
  if (const auto& value = value_of(config, "r"); !value.is_null()) lora.rank = rank(value, file, "r");
  if (const auto& value = value_of(config, "lora_alpha"); !value.is_null())
    lora.alpha = positive(value, file, "lora_alpha");
  lora.rslora = is_set(value_of(config, "use_rslora"));
  const auto pattern = [&](const char* key, const std::string& module) {
    return PythonRegex("(.*\\.)?(" + module + ")", file + ": " + key);
  };
  for (const auto& [module, value] : value_of(config, "rank_pattern").items())
    lora.rank_pattern.emplace_back(pattern("rank_pattern", module), rank(value, file, "rank_pattern"));
  for (const auto& [module, value] : value_of(config, "alpha_pattern").items())
    lora.alpha_pattern.emplace_back(pattern("alpha_pattern", module), positive(value, file, "alpha_pattern"));
  lora.target_modules = modules(config, file, "target_modules");
  if (!is_set(value_of(config, "target_modules")))
    user_error("{}: target_modules is missing; expected a list of module names, a regex or \"all-linear\"",
               file);
  lora.exclude_modules = modules(config, file, "exclude_modules");
  if (const auto& layers = value_of(config, "layers_to_transform"); is_set(layers)) {
    for (const auto& layer : layers.is_array() ? layers : ordered_json::array({layers})) {
      if (!layer.is_number_integer()) mistyped(file, "layers_to_transform", layers, "layer numbers");
      lora.layers_to_transform.push_back(layer);
    }
    const auto& names = value_of(config, "layers_pattern");
    if (!is_set(names))
      lora.layers_pattern.emplace_back(".*\\.[^.]*\\.(\\d+)\\.", file);
    else
      for (const std::string& name : texts(names, file, "layers_pattern"))
        lora.layers_pattern.emplace_back(".*\\." + name + "\\.(\\d+)\\.", file + ": layers_pattern");
  }
  return lora;
}

}  // namespace

bool PeftLoraConfig::Modules::matches(const std::string& module) const {
  if (all) return true;
  if (regex) return regex->fullmatch(module);
  return std::any_of(endings.begin(), endings.end(), [&](const std::string& ending) {
    return module == ending || module.ends_with("." + ending);
  });
}

PeftLoraConfig parse_peft_config(const std::string& text, const std::string& file) {
  try {
    const ordered_json config = ordered_json::parse(text);
    if (!config.is_object()) user_error("{}: not a JSON object", file);
    return read_config(config, file);
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: {}", file, error.what());
  }
}

bool targets(const PeftLoraConfig& config, const std::string& module) {
  if (config.exclude_modules.matches(module) || !config.target_modules.matches(module)) return false;
  // PEFT looks at the layer's number only where target_modules is a list.
  if (config.layers_to_transform.empty() || config.target_modules.endings.empty()) return true;
  for (const PythonRegex& pattern : config.layers_pattern)
    if (const auto layer = pattern.match_group(module))
      return std::ranges::any_of(config.layers_to_transform,
                                 [&](int64_t wanted) { return std::to_string(wanted) == *layer; });
  return false;
}

int64_t rank_of(const PeftLoraConfig& config, const std::string& module) {
  for (const auto& [pattern, rank] : config.rank_pattern)
    if (pattern.fullmatch(module)) return rank;
  return config.rank;
}

double scale_of(const PeftLoraConfig& config, const std::string& module) {
  const auto rank = static_cast<double>(rank_of(config, module));
  double alpha = config.alpha;
  for (const auto& [pattern, value] : config.alpha_pattern)
    if (pattern.fullmatch(module)) {
      alpha = value;
      break;
    }
  return alpha / (config.rslora ? std::sqrt(rank) : rank);
}

}  // namespace gaggle
