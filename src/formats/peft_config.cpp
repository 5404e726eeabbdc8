#include "formats/peft_config.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"

namespace gaggle {
namespace {

using namespace peft_parts;

double positive(const ordered_json& value, const std::string& file, const char* key) {
  if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0)
    mistyped(file, key, value, "a number above 0");
  return value;
}

// The keys whose use makes the adapter more, or other, than y = W x + scale B A x with the base as it is.
void refuse_other_methods(const ordered_json& config, const std::string& file) {
  refuse_other_type(config, file, "LORA");
  if (is_set(value_of(config, "use_dora"))) user_error("{}: use_dora: DoRA adapters are not supported", file);
  refuse_saved_modules(config, file);
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
            "{}: init_lora_weights \"{}\" changes the base's weights: save the adapter converted "
            "to a plain LoRA (save_pretrained with path_initial_model_for_weight_conversion)",
            file, method);
  }
}

// Beside those of every method.
const std::set<std::string> known_keys{"alora_invocation_tokens",
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
                                       "use_rslora"};

PeftLoraConfig read_keys(const ordered_json& config, const std::string& file) {
  refuse_other_methods(config, file);
  warn_of_unknown_keys(config, file, known_keys);
  PeftLoraConfig lora;
  lora.base = base_of(config);
  if (const auto& value = value_of(config, "r"); !value.is_null()) lora.rank = whole_number(value, file, "r");
  if (const auto& value = value_of(config, "lora_alpha"); !value.is_null())
    lora.alpha = positive(value, file, "lora_alpha");
  lora.rslora = is_set(value_of(config, "use_rslora"));
  const auto pattern = [&](const char* key, const std::string& module) {
    return PythonRegex("(.*\\.)?(" + module + ")", file + ": " + key);
  };
  for (const auto& [module, value] : value_of(config, "rank_pattern").items())
    lora.rank_pattern.emplace_back(pattern("rank_pattern", module), whole_number(value, file, "rank_pattern"));
  for (const auto& [module, value] : value_of(config, "alpha_pattern").items())
    lora.alpha_pattern.emplace_back(pattern("alpha_pattern", module), positive(value, file, "alpha_pattern"));
  lora.target_modules = target_modules(config, file);
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

PeftLoraConfig parse_peft_config(const ordered_json& config, const std::string& file) {
  try {
    return read_keys(config, file);
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
