// Hugging Face config.json → ModelSpec, with transformers' defaults for keys that are left out.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/names.h"
#include "formats/model_files.h"

namespace gaggle {
namespace {

using nlohmann::json;

// Typed access that names the file and the key; null counts as left out, as in transformers.
class Keys {
 public:
  Keys(const json& table, std::string file) : table_(table), file_(std::move(file)) {}

  bool has(const char* key) const { return table_.contains(key) && !table_[key].is_null(); }
  bool names(const char* key) const { return table_.contains(key); }
  const json& at(const char* key) const { return table_[key]; }

  int64_t count(const char* key) const {
    if (!has(key)) user_error("{}: {} is missing", file_, key);
    if (!at(key).is_number_integer() || at(key).get<int64_t>() < 1 || at(key).get<int64_t>() > INT32_MAX)
      user_error("{}: {} is {}; expected a whole number of at least 1", file_, key, at(key).dump());
    return at(key);
  }
  int64_t count_or(const char* key, int64_t otherwise) const { return has(key) ? count(key) : otherwise; }

  double number_or(const char* key, double otherwise) const {
    if (!has(key)) return otherwise;
    if (!at(key).is_number() || !(at(key).get<double>() > 0))
      user_error("{}: {} is {}; expected a number above 0", file_, key, at(key).dump());
    return at(key);
  }
  double number(const char* key) const {
    if (!has(key)) user_error("{}: {} is missing", file_, key);
    return number_or(key, 0);
  }

  bool flag_or(const char* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    if (!at(key).is_boolean()) user_error("{}: {} is {}; expected true or false", file_, key, at(key).dump());
    return at(key);
  }

  std::string text_or(const char* key, const std::string& otherwise) const {
    if (!has(key)) return otherwise;
    if (!at(key).is_string()) user_error("{}: {} is {}; expected a text", file_, key, at(key).dump());
    return at(key);
  }

  const std::string& file() const { return file_; }

 private:
  const json& table_;
  std::string file_;
};

// "rope_scaling" up to transformers 4, "rope_parameters" (with rope_theta inside) since 5.
void read_rope(const Keys& config, ModelSpec& spec) {
  spec.rope_theta = config.number_or("rope_theta", 10000);
  const char* section = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!config.has(section)) return;
  if (!config.at(section).is_object()) user_error("{}: {} is not a table", config.file(), section);
  const Keys rope(config.at(section), config.file() + ": " + section);
  spec.rope_theta = rope.number_or("rope_theta", spec.rope_theta);
  if (rope.number_or("partial_rotary_factor", 1) != 1)
    user_error("{}: partial_rotary_factor is not supported", rope.file());
  const std::string type = rope.text_or("rope_type", rope.text_or("type", "default"));
  if (type == "default") return;
  if (type != "linear" && type != "llama3")
    user_error("{}: the scaling type {} is not supported; linear and llama3 are", rope.file(), type);
  spec.rope_scaling.type = type;
  spec.rope_scaling.factor = rope.number("factor");
  if (type == "linear") return;
  spec.rope_scaling.low_freq_factor = rope.number("low_freq_factor");
  spec.rope_scaling.high_freq_factor = rope.number("high_freq_factor");
  spec.rope_scaling.original_max_position = rope.count("original_max_position_embeddings");
  if (spec.rope_scaling.high_freq_factor <= spec.rope_scaling.low_freq_factor)
    user_error("{}: high_freq_factor must be above low_freq_factor", rope.file());
}

// Every layer slides, or none does: that is what ModelSpec can say.
int64_t read_sliding_window(const Keys& config, const ModelSpec& spec) {
  if (spec.model_type == "llama") return 0;
  // Mistral's window applies to all layers; a config without the key means transformers' default.
  if (spec.model_type == "mistral")
    return config.names("sliding_window") ? config.count_or("sliding_window", 0) : 4096;
  if (!config.flag_or("use_sliding_window", false)) return 0;
  const int64_t window = config.count_or("sliding_window", config.names("sliding_window") ? 0 : 4096);
  int64_t sliding = 0;
  if (config.has("layer_types")) {
    for (const json& type : config.at("layer_types")) sliding += type == "sliding_attention";
  } else {
    const int64_t full = config.has("max_window_layers") ? config.at("max_window_layers").get<int64_t>() : 28;
    sliding = std::clamp<int64_t>(spec.layers - full, 0, spec.layers);
  }
  if (sliding != 0 && sliding != spec.layers)
    user_error("{}: {} of {} layers use a sliding window; supported is all or none", config.file(), sliding,
               spec.layers);
  return sliding == 0 ? 0 : window;
}

void refuse_what_is_not_modelled(const Keys& config) {
  const std::string activation = config.text_or("hidden_act", "silu");
  if (activation != "silu" && activation != "swish")
    user_error("{}: hidden_act {} is not supported; silu is", config.file(), activation);
  if (config.has("quantization_config"))
    user_error(
        "{}: quantization_config: quantised Hugging Face folders are not supported; use the unquantised model "
        "or "
        "its GGUF file",
        config.file());
  if (config.number_or("partial_rotary_factor", 1) != 1)
    user_error("{}: partial_rotary_factor is not supported", config.file());
}

ModelSpec read_spec(const Keys& config) {
  ModelSpec spec;
  spec.model_type = config.text_or("model_type", "");
  const std::vector<std::string> supported{"llama", "mistral", "qwen2", "qwen3"};
  if (std::find(supported.begin(), supported.end(), spec.model_type) == supported.end())
    user_error("{}: model_type \"{}\" is not supported; {} are", config.file(), spec.model_type,
               join(supported, ", "));
  refuse_what_is_not_modelled(config);
  const bool llama = spec.model_type == "llama", qwen3 = spec.model_type == "qwen3";
  spec.hidden = config.count("hidden_size");
  spec.intermediate = config.count("intermediate_size");
  spec.layers = config.count("num_hidden_layers");
  spec.heads = config.count("num_attention_heads");
  spec.vocab = config.count("vocab_size");
  spec.max_positions = config.count("max_position_embeddings");
  const int64_t default_kv = spec.model_type == "mistral" ? 8 : llama ? spec.heads : 32;
  spec.kv_heads =
      config.count_or("num_key_value_heads", config.names("num_key_value_heads") ? spec.heads : default_kv);
  spec.head_dim = config.count_or("head_dim", qwen3 ? 128 : spec.hidden / spec.heads);
  if (spec.head_dim < 2 || spec.head_dim % 2 != 0)
    user_error("{}: head_dim is {}; expected an even number", config.file(), spec.head_dim);
  if (spec.heads % spec.kv_heads != 0)
    user_error("{}: num_attention_heads {} is no multiple of num_key_value_heads {}", config.file(), spec.heads,
               spec.kv_heads);
  read_rope(config, spec);
  spec.sliding_window = read_sliding_window(config, spec);
  spec.norm_eps = config.number_or("rms_norm_eps", 1e-6);
  spec.tied_head = config.flag_or("tie_word_embeddings", false);
  const bool attention_bias = (llama || qwen3) && config.flag_or("attention_bias", false);
  spec.qkv_bias = attention_bias || spec.model_type == "qwen2";
  spec.o_bias = attention_bias;
  spec.mlp_bias = llama && config.flag_or("mlp_bias", false);
  spec.qk_norm = qwen3;
  return spec;
}

}  // namespace

ModelSpec parse_hf_config(const std::string& text, const std::string& file) {
  try {
    const json config = json::parse(text);
    if (!config.is_object()) user_error("{}: not a JSON object", file);
    return read_spec(Keys(config, file));
  } catch (const json::exception& error) {
    user_error("{}: {}", file, error.what());
  }
}

}  // namespace gaggle
