// config.json of the Llama-shaped decoders, with transformers' defaults for keys that are left out.
#include <algorithm>

#include "base/error.h"
#include "formats/config_keys.h"

namespace gaggle {
namespace {

// "rope_scaling" up to transformers 4, "rope_parameters" (with rope_theta inside) since 5.
void read_rope(const ConfigKeys& config, ModelSpec& spec) {
  spec.rope_theta = config.number_or("rope_theta", 10000);
  const char* section = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!config.has(section)) return;
  if (!config.at(section).is_object()) user_error("{}: {} is not a table", config.file(), section);
  const ConfigKeys rope(config.at(section), config.file() + ": " + section);
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
int64_t read_sliding_window(const ConfigKeys& config, const ModelSpec& spec) {
  if (spec.model_type == "llama") return 0;
  // Mistral's window applies to all layers; a config without the key means transformers' default.
  if (spec.model_type == "mistral") return config.names("sliding_window") ? config.count_or("sliding_window", 0) : 4096;
  if (!config.flag_or("use_sliding_window", false)) return 0;
  const int64_t window = config.count_or("sliding_window", config.names("sliding_window") ? 0 : 4096);
  int64_t sliding = 0;
  if (config.has("layer_types")) {
    for (const nlohmann::json& type : config.at("layer_types")) sliding += type == "sliding_attention";
  } else {
    const int64_t full = config.has("max_window_layers") ? config.at("max_window_layers").get<int64_t>() : 28;
    sliding = std::clamp<int64_t>(spec.layers - full, 0, spec.layers);
  }
  if (sliding != 0 && sliding != spec.layers)
    user_error("{}: {} of {} layers use a sliding window; supported is all or none", config.file(), sliding,
               spec.layers);
  return sliding == 0 ? 0 : window;
}

void refuse_what_is_not_modelled(const ConfigKeys& config) {
  const std::string activation = config.text_or("hidden_act", "silu");
  if (activation != "silu" && activation != "swish")
    user_error("{}: hidden_act {} is not supported; silu is", config.file(), activation);
  if (config.number_or("partial_rotary_factor", 1) != 1)
    user_error("{}: partial_rotary_factor is not supported", config.file());
}

}  // namespace

void read_llama_config(const ConfigKeys& config, ModelSpec& spec) {
  refuse_what_is_not_modelled(config);
  const bool llama = spec.model_type == "llama", qwen3 = spec.model_type == "qwen3";
  spec.hidden = config.count("hidden_size");
  spec.intermediate = config.count("intermediate_size");
  spec.layers = config.count("num_hidden_layers");
  spec.heads = config.count("num_attention_heads");
  spec.vocab = config.count("vocab_size");
  spec.max_positions = config.count("max_position_embeddings");
  const int64_t default_kv = spec.model_type == "mistral" ? 8 : llama ? spec.heads : 32;
  spec.kv_heads = config.count_or("num_key_value_heads", config.names("num_key_value_heads") ? spec.heads : default_kv);
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
}

}  // namespace gaggle
