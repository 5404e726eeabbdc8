// config.json of the Llama-shaped decoders, with transformers' defaults for keys that are left out.
#include <algorithm>

#include "base/error.h"
#include "formats/config_keys.h"

namespace gaggle {
namespace {

// Which layers of a Qwen slide: named, or those from max_window_layers on.
std::vector<bool> read_slides(const ConfigKeys& config, int64_t layers) {
  std::vector<bool> slides;
  if (!config.has("layer_types")) {
    const int64_t full = config.from_zero_or("max_window_layers", 28);
    for (int64_t layer = 0; layer < layers; ++layer) slides.push_back(layer >= full);
    return slides;
  }
  for (const nlohmann::json& type : config.at("layer_types")) {
    if (type != "sliding_attention" && type != "full_attention")
      user_error("{}: layer_types has {}; full_attention and sliding_attention are supported", config.file(),
                 type.dump());
    slides.push_back(type == "sliding_attention");
  }
  if (static_cast<int64_t>(slides.size()) != layers)
    user_error("{}: layer_types names {} layers of {}", config.file(), slides.size(), layers);
  return slides;
}

void read_sliding_window(const ConfigKeys& config, ModelSpec& spec) {
  if (spec.model_type == "llama") return;
  const int64_t window = config.count_or("sliding_window", config.names("sliding_window") ? 0 : 4096);
  // Mistral's window applies to all layers; a config without the key means transformers' default.
  if (spec.model_type == "mistral") {
    spec.sliding_window = window;
    return;
  }
  if (!config.flag_or("use_sliding_window", false)) return;
  const std::vector<bool> slides = read_slides(config, spec.layers);
  const int64_t sliding = std::ranges::count(slides, true);
  if (sliding == 0 || window == 0) return;
  spec.sliding_window = window;
  if (sliding != spec.layers) spec.slides = slides;
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
  read_rope_config(config, spec);
  read_sliding_window(config, spec);
  spec.norm_eps = config.number_or("rms_norm_eps", 1e-6);
  spec.tied_head = config.flag_or("tie_word_embeddings", false);
  const bool attention_bias = (llama || qwen3) && config.flag_or("attention_bias", false);
  spec.qkv_bias = attention_bias || spec.model_type == "qwen2";
  spec.o_bias = attention_bias;
  spec.mlp_bias = llama && config.flag_or("mlp_bias", false);
  spec.qk_norm = qwen3;
}

}  // namespace gaggle
