// config.json of the Llama-shaped decoders, with transformers' defaults for keys that are left out.
#include <algorithm>

#include "base/error.h"
#include "formats/config_keys.h"
#include "formats/model_files.h"

namespace gaggle {
namespace {

RopeScaling read_yarn(const ConfigKeys& rope, const ModelSpec& spec) {
  RopeScaling yarn{.type = "yarn", .factor = rope.number("factor")};
  yarn.original_max_position = rope.count_or("original_max_position_embeddings", spec.max_positions);
  yarn.beta_fast = rope.number_or("beta_fast", 32);
  yarn.beta_slow = rope.number_or("beta_slow", 1);
  yarn.truncate = rope.flag_or("truncate", true);
  yarn.attention_factor = yarn_attention_factor(yarn.factor);
  if (rope.has("mscale") && rope.has("mscale_all_dim"))
    yarn.attention_factor = yarn_attention_factor(yarn.factor, rope.number("mscale")) /
                            yarn_attention_factor(yarn.factor, rope.number("mscale_all_dim"));
  yarn.attention_factor = rope.number_or("attention_factor", yarn.attention_factor);
  return yarn;
}

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
  if (type == "yarn") {
    spec.rope_scaling = read_yarn(rope, spec);
    return;
  }
  if (type != "linear" && type != "llama3")
    user_error("{}: the scaling type {} is not supported; linear, llama3 and yarn are", rope.file(), type);
  spec.rope_scaling.type = type;
  spec.rope_scaling.factor = rope.number("factor");
  if (type == "linear") return;
  spec.rope_scaling.low_freq_factor = rope.number("low_freq_factor");
  spec.rope_scaling.high_freq_factor = rope.number("high_freq_factor");
  spec.rope_scaling.original_max_position = rope.count("original_max_position_embeddings");
  if (spec.rope_scaling.high_freq_factor <= spec.rope_scaling.low_freq_factor)
    user_error("{}: high_freq_factor must be above low_freq_factor", rope.file());
}

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
  read_rope(config, spec);
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
