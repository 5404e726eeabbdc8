#include "formats/peft_config.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/names.h"

namespace gaggle {
namespace {

using namespace peft_parts;

double positive(const ordered_json& value, const std::string& file, const char* key) {
  if (value.is_number())  // scales are multiplied by in fp32
    if (const auto single = value.get<float>(); std::isfinite(single) && single > 0) return value;
  mistyped(file, key, value, "a number above 0 that fp32 can hold");
}

// Only true is true: a word such as "false" would be so in Python as well.
bool truth(const ordered_json& config, const std::string& file, const char* key) {
  const ordered_json& value = value_of(config, key);
  if (!value.is_null() && !value.is_boolean()) mistyped(file, key, value, "true or false");
  return value.is_boolean() && value.get<bool>();
}

// rank_pattern or alpha_pattern; empty: there is none.
ordered_json table_of(const ordered_json& config, const std::string& file, const char* key) {
  const ordered_json& value = value_of(config, key);
  if (!value.is_null() && !value.is_object()) mistyped(file, key, value, "an object of numbers by module");
  return value.is_null() ? ordered_json::object() : value;
}

// The kind that peft_type names, one of `kinds`.
PeftKind kind_of(const ordered_json& config, const std::string& file, const std::vector<PeftKind>& kinds) {
  const ordered_json& type = value_of(config, "peft_type");
  std::vector<std::string> known;
  for (const PeftKind kind : kinds) {
    if (text_of(type) == form_of(kind).type) return kind;
    known.push_back(fmt::format("\"{}\"", form_of(kind).type));
  }
  user_error("{}: peft_type is {}; only {} is read", file, type.dump(), join(known, " or "));
}

// An adapter is added to the base as it is. These ways to start one leave the base alone, by the source of PEFT 0.21;
// others (pissa, olora, corda, loftq, lora_ga) take from its weights what they put into the adapter.
void refuse_changed_base(const ordered_json& config, const std::string& file) {
  static const std::set<std::string> harmless{"gaussian", "eva", "orthogonal", "mica"};
  const ordered_json& start = value_of(config, "init_lora_weights");
  std::string method = text_of(start);
  std::ranges::transform(method, method.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (start.is_null() || start.is_boolean() || harmless.contains(method)) return;
  user_error(
      "{}: init_lora_weights is {}; only true, false, {} are known to leave the base's weights alone: save the adapter "
      "converted to a plain LoRA (save_pretrained with path_initial_model_for_weight_conversion)",
      file, start.dump(), join({harmless.begin(), harmless.end()}, ", "));
}

// The keys whose use makes a LoRA more, or other, than y = W x + scale B A x with the base as it is.
void refuse_other_loras(const ordered_json& config, const std::string& file) {
  if (truth(config, file, "use_dora")) user_error("{}: use_dora: DoRA adapters are not supported", file);
  for (const char* key : {"lora_bias", "use_qalora"})
    if (truth(config, file, key)) user_error("{}: {} true is not supported", file, key);
  for (const char* key : {"trainable_token_indices", "target_parameters", "layer_replication",
                          "alora_invocation_tokens", "arrow_config", "megatron_config", "kasa_config", "use_bdlora"})
    if (const auto& value = value_of(config, key); is_set(value))
      user_error("{}: {} {} is not supported", file, key, value.dump());
  // Biases that were trained are tensors in the file, and refused there; without them the word changes nothing.
  const auto& bias = value_of(config, "bias");
  if (!bias.is_null() && bias != "none" && bias != "all" && bias != "lora_only")
    mistyped(file, "bias", bias, R"("none", "all" or "lora_only")");
  truth(config, file, "fan_in_fan_out");  // PEFT itself heeds it on Conv1D alone, which no base here has
  refuse_changed_base(config, file);
}

void read_layers(PeftConfig& lora, const ordered_json& config, const std::string& file) {
  const auto& layers = value_of(config, "layers_to_transform");
  if (!is_set(layers)) return;
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

void read_lora_keys(PeftConfig& lora, const ordered_json& config, const std::string& file) {
  refuse_other_loras(config, file);
  if (config.contains("lora_alpha")) lora.alpha = positive(config["lora_alpha"], file, "lora_alpha");
  lora.rslora = truth(config, file, "use_rslora");
  const auto pattern = [&](const char* key, const std::string& module) {
    return PythonRegex("(.*\\.)?(" + module + ")", file + ": " + key);
  };
  const ordered_json ranks = table_of(config, file, "rank_pattern"), alphas = table_of(config, file, "alpha_pattern");
  for (const auto& [module, value] : ranks.items())
    lora.rank_pattern.emplace_back(pattern("rank_pattern", module), whole_number(value, file, "rank_pattern"));
  for (const auto& [module, value] : alphas.items())
    lora.alpha_pattern.emplace_back(pattern("alpha_pattern", module), positive(value, file, "alpha_pattern"));
  read_layers(lora, config, file);
}

// Poly's keys have PEFT's defaults; our own form, which nobody else writes, has none.
void read_sizes(PeftConfig& read, const ordered_json& config, const std::string& file) {
  if (const auto& type = value_of(config, "poly_type"); is_set(type) && text_of(type) != "poly")
    user_error("{}: poly_type is {}; only \"poly\" is read", file, type.dump());
  const bool defaults = read.kind == PeftKind::poly;
  const auto size = [&](const char* key, int64_t otherwise) {
    const auto& value = value_of(config, key);
    return defaults && !config.contains(key) ? otherwise : whole_number(value, file, key);
  };
  read.tasks = size("n_tasks", 1);
  read.skills = size("n_skills", 4);
  read.heads = size("n_splits", 1);
}

// The value of the first pattern that matches the module.
template <class T>
T first_match(const std::vector<std::pair<PythonRegex, T>>& patterns, const std::string& module, T otherwise) {
  for (const auto& [pattern, value] : patterns)
    if (pattern.fullmatch(module)) return value;
  return otherwise;
}

}  // namespace

void warn_of_unknown_keys(const ordered_json& config, const std::string& file, PeftKind kind) {
  static const std::set<std::string> of_every_method{"auto_mapping",    "base_model_name_or_path",
                                                     "exclude_modules", "inference_mode",
                                                     "modules_to_save", "peft_type",
                                                     "peft_version",    "r",
                                                     "revision",        "runtime_config",
                                                     "target_modules",  "task_type"};
  std::vector<std::string> unknown;
  for (const auto& [key, value] : config.items())
    if (!form_of(kind).keys.contains(key) && !of_every_method.contains(key) && is_set(value)) unknown.push_back(key);
  if (!unknown.empty()) log::warning("{}: keys that are not known here are left out: {}", file, join(unknown, ", "));
}

PeftConfig parse_peft_config(const ordered_json& config, const std::string& file, const std::vector<PeftKind>& kinds) {
  try {
    PeftConfig read;
    read.kind = kind_of(config, file, kinds);
    if (const auto& saved = value_of(config, "modules_to_save"); is_set(saved))
      user_error("{}: modules_to_save {}: adapters that replace whole modules are not supported", file, saved.dump());
    for (const char* key : {"base_model_name_or_path", "task_type"})
      if (const auto& value = value_of(config, key); !value.is_null() && !value.is_string())
        mistyped(file, key, value, "a name in quotes");
    read.base = {text_of(value_of(config, "base_model_name_or_path")), text_of(value_of(config, "task_type"))};
    const bool low_rank = read.kind == PeftKind::lora || read.kind == PeftKind::poly;
    if (low_rank && config.contains("r")) read.rank = whole_number(config["r"], file, "r");
    if (read.kind == PeftKind::lora) read_lora_keys(read, config, file);
    if (read.kind == PeftKind::poly || read.kind == PeftKind::poly_ia3) read_sizes(read, config, file);
    if (!is_set(value_of(config, "target_modules")))
      user_error("{}: target_modules is missing; expected a list of module names, a regex or \"all-linear\"", file);
    read.target_modules = modules(config, file, "target_modules");
    read.exclude_modules = modules(config, file, "exclude_modules");
    read.feedforward_modules = modules(config, file, "feedforward_modules");
    return read;
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: {}", file, error.what());
  }
}

bool targets(const PeftConfig& config, const std::string& module) {
  if (config.exclude_modules.matches(module) || !config.target_modules.matches(module)) return false;
  // PEFT looks at the layer's number only where target_modules is a list.
  if (config.layers_to_transform.empty() || config.target_modules.endings.empty()) return true;
  for (const PythonRegex& pattern : config.layers_pattern)
    if (const auto layer = pattern.match_group(module))
      return std::ranges::any_of(config.layers_to_transform,
                                 [&](int64_t wanted) { return std::to_string(wanted) == *layer; });
  return false;
}

int64_t rank_of(const PeftConfig& config, const std::string& module) {
  return first_match(config.rank_pattern, module, config.rank);
}

double scale_of(const PeftConfig& config, const std::string& module) {
  const auto rank = static_cast<double>(rank_of(config, module));
  return first_match(config.alpha_pattern, module, config.alpha) / (config.rslora ? std::sqrt(rank) : rank);
}

}  // namespace gaggle
