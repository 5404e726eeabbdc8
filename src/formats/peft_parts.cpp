#include "formats/peft_parts.h"

#include <algorithm>

#include "base/error.h"
#include "base/names.h"
#include "base/terminal.h"

namespace gaggle {

bool PeftModules::matches(const std::string& module) const {
  if (all) return true;
  if (regex) return regex->fullmatch(module);
  return std::any_of(endings.begin(), endings.end(),
                     [&](const std::string& ending) { return module == ending || module.ends_with("." + ending); });
}

namespace peft_parts {

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

std::string text_of(const ordered_json& value) { return value.is_string() ? value.get<std::string>() : ""; }

void mistyped(const std::string& file, const char* key, const ordered_json& value, const char* expected) {
  user_error("{}: {} is {}; expected {}", file, key, shown(value.dump()), expected);
}

std::vector<std::string> texts(const ordered_json& value, const std::string& file, const char* key) {
  if (value.is_string()) return {value.get<std::string>()};
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), [](auto& item) { return item.is_string(); }))
    mistyped(file, key, value, "a list of names");
  return value;
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

std::string ending_of(const std::string& module) { return module.substr(module.rfind('.') + 1); }

std::string tensor_name(const std::string& module, const std::string& suffix) {
  return tensor_prefix + module + suffix;
}

}  // namespace peft_parts
}  // namespace gaggle
