// Hugging Face config.json → ModelSpec: the typed keys, and which reader a model_type has.
#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/names.h"
#include "base/terminal.h"
#include "formats/config_keys.h"
#include "formats/model_files.h"

namespace gaggle {
namespace {

using nlohmann::json;

using ConfigReader = void (*)(const ConfigKeys& config, ModelSpec& spec);
const std::vector<std::pair<std::string, ConfigReader>> config_readers{{"llama", read_llama_config},
                                                                       {"mistral", read_llama_config},
                                                                       {"qwen2", read_llama_config},
                                                                       {"qwen3", read_llama_config},
                                                                       {"t5", read_t5_config}};

ModelSpec read_spec(const ConfigKeys& config) {
  ModelSpec spec;
  spec.model_type = config.text_or("model_type", "");
  if (spec.model_type == "umt5")
    user_error("{}: model_type \"umt5\" is not supported: it has position biases in every layer, t5 in the first",
               config.file());
  if (config.has("quantization_config")) {
    const nlohmann::json& method = config.at("quantization_config");
    if (!method.is_object() || method.value("quant_method", nlohmann::json()) != "bitsandbytes")
      user_error(
          "{}: quantization_config: of quantised Hugging Face folders those of bitsandbytes (nf4, int8) are supported; "
          "use the unquantised model or its GGUF file",
          config.file());
  }
  for (const char* experts : {"num_local_experts", "num_experts", "n_routed_experts"})
    if (config.has(experts))
      user_error("{}: {}: a mixture of experts ({}) is not supported as a base; a dense model is", config.file(),
                 spec.model_type, experts);
  std::vector<std::string> supported;
  for (const auto& [type, read] : config_readers) {
    supported.push_back(type);
    if (type != spec.model_type) continue;
    read(config, spec);
    return spec;
  }
  user_error("{}: model_type \"{}\" is not supported; {} are", config.file(), spec.model_type, join(supported, ", "));
}

// Names and shapes of all weights are made from these numbers before a file of weights is looked at.
void check_size(const ModelSpec& spec, const std::string& file) {
  constexpr int64_t most_layers = 10'000;
  if (spec.layers > most_layers || spec.encoder_layers > most_layers)
    user_error("{}: {} layers; expected at most {}", file, std::max(spec.layers, spec.encoder_layers), most_layers);
  if (spec.heads * spec.head_dim > most_count)
    user_error("{}: {} heads of {} values; expected at most {} values together", file, spec.heads, spec.head_dim,
               most_count);
}

}  // namespace

void ConfigKeys::expect(bool good, const char* key, const std::string& what) const {
  if (!has(key)) user_error("{}: {} is missing", file_, key);
  if (!good) user_error("{}: {} is {}; expected {}", file_, key, shown(at(key).dump()), what);
}

bool ConfigKeys::is_integer(const char* key, int64_t low, int64_t high) const {
  return has(key) && at(key).is_number_integer() && at(key).get<int64_t>() >= low && at(key).get<int64_t>() <= high;
}

int64_t ConfigKeys::count(const char* key) const {
  expect(is_integer(key, 1, most_count), key, fmt::format("a whole number of at least 1 and at most {}", most_count));
  return at(key);
}

int64_t ConfigKeys::from_zero_or(const char* key, int64_t otherwise) const {
  if (!has(key)) return otherwise;
  expect(is_integer(key, 0, most_count), key, fmt::format("a whole number of at most {}", most_count));
  return at(key);
}

int64_t ConfigKeys::token_or(const char* key, int64_t vocab, int64_t otherwise) const {
  if (!has(key)) return otherwise;
  expect(is_integer(key, 0, vocab - 1), key, fmt::format("a token, 0 to {}", vocab - 1));
  return at(key);
}

double ConfigKeys::number(const char* key) const {
  expect(has(key) && at(key).is_number() && at(key).get<double>() > 0, key, "a number above 0");
  return at(key);
}

bool ConfigKeys::flag_or(const char* key, bool otherwise) const {
  if (!has(key)) return otherwise;
  expect(at(key).is_boolean(), key, "true or false");
  return at(key);
}

std::string ConfigKeys::text_or(const char* key, const std::string& otherwise) const {
  if (!has(key)) return otherwise;
  expect(at(key).is_string(), key, "a text");
  return at(key);
}

ModelSpec parse_hf_config(const std::string& text, const std::string& file) {
  try {
    const json config = parse_json(text);
    if (!config.is_object()) user_error("{}: not a JSON object", file);
    ModelSpec spec = read_spec(ConfigKeys(config, file));
    check_size(spec, file);
    return spec;
  } catch (const json::exception& error) {
    user_error("{}: {}", file, error.what());
  }
}

}  // namespace gaggle
