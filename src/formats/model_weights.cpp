// The names and shapes of a model's tensors, as Hugging Face spells them.
#include <algorithm>

#include "formats/model_files.h"

namespace gaggle {
namespace {

std::vector<WeightInfo> weights_of_llama(const ModelSpec& spec) {
  const int64_t d = spec.hidden, q = spec.heads * spec.head_dim, kv = spec.kv_heads * spec.head_dim;
  std::vector<WeightInfo> weights{{"model.embed_tokens.weight", {spec.vocab, d}}, {"model.norm.weight", {d}}};
  if (!spec.tied_head) weights.push_back({"lm_head.weight", {spec.vocab, d}});
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    const std::string block = "model.layers." + std::to_string(layer) + ".";
    const auto linear = [&](const std::string& name, int64_t d_out, int64_t d_in, bool bias) {
      weights.push_back({block + name + ".weight", {d_out, d_in}});
      if (bias) weights.push_back({block + name + ".bias", {d_out}});
    };
    linear("self_attn.q_proj", q, d, spec.qkv_bias);
    linear("self_attn.k_proj", kv, d, spec.qkv_bias);
    linear("self_attn.v_proj", kv, d, spec.qkv_bias);
    linear("self_attn.o_proj", d, q, spec.o_bias);
    linear("mlp.gate_proj", spec.intermediate, d, spec.mlp_bias);
    linear("mlp.up_proj", spec.intermediate, d, spec.mlp_bias);
    linear("mlp.down_proj", d, spec.intermediate, spec.mlp_bias);
    weights.push_back({block + "input_layernorm.weight", {d}});
    weights.push_back({block + "post_attention_layernorm.weight", {d}});
    if (!spec.qk_norm) continue;
    weights.push_back({block + "self_attn.q_norm.weight", {spec.head_dim}});
    weights.push_back({block + "self_attn.k_norm.weight", {spec.head_dim}});
  }
  return weights;
}

// T5's linears have no biases, its norms neither. The position biases of the first layers hold for all.
std::vector<WeightInfo> weights_of_t5(const ModelSpec& spec) {
  const int64_t d = spec.hidden, inner = spec.heads * spec.head_dim;
  const std::vector<const char*> plain{"wi"}, gated{"wi_0", "wi_1"};
  std::vector<WeightInfo> weights{{"shared.weight", {spec.vocab, d}}};
  if (!spec.tied_head) weights.push_back({"lm_head.weight", {spec.vocab, d}});
  const auto attention = [&](const std::string& layer, const std::string& name) {
    for (const char* linear : {".q", ".k", ".v"}) weights.push_back({layer + name + linear + ".weight", {inner, d}});
    weights.push_back({layer + name + ".o.weight", {d, inner}});
    weights.push_back({layer + "layer_norm.weight", {d}});
  };
  const auto feed_forward = [&](const std::string& layer) {
    const std::string name = layer + "DenseReluDense.";
    for (const char* wi : spec.gated ? gated : plain)
      weights.push_back({name + wi + ".weight", {spec.intermediate, d}});
    weights.push_back({name + "wo.weight", {d, spec.intermediate}});
    weights.push_back({layer + "layer_norm.weight", {d}});
  };
  const auto stack = [&](const std::string& name, int64_t blocks, bool decoder) {
    for (int64_t i = 0; i < blocks; ++i) {
      const std::string layer = name + ".block." + std::to_string(i) + ".layer.";
      attention(layer + "0.", "SelfAttention");
      if (decoder) attention(layer + "1.", "EncDecAttention");
      feed_forward(layer + (decoder ? "2." : "1."));
    }
    weights.push_back(
        {name + ".block.0.layer.0.SelfAttention.relative_attention_bias.weight", {spec.position_buckets, spec.heads}});
    weights.push_back({name + ".final_layer_norm.weight", {d}});
  };
  stack("encoder", spec.encoder_layers, false);
  stack("decoder", spec.layers, true);
  return weights;
}

}  // namespace

std::vector<WeightInfo> expected_weights(const ModelSpec& spec) {
  std::vector<WeightInfo> weights = spec.encoder_decoder() ? weights_of_t5(spec) : weights_of_llama(spec);
  std::ranges::sort(weights, {}, &WeightInfo::name);
  return weights;
}

std::map<std::string, std::string> second_names(const ModelSpec& spec) {
  const std::string embedding = spec.encoder_decoder() ? "shared.weight" : "model.embed_tokens.weight";
  std::map<std::string, std::string> names;
  if (spec.encoder_decoder())
    names = {{"encoder.embed_tokens.weight", embedding}, {"decoder.embed_tokens.weight", embedding}};
  if (spec.tied_head) names.emplace("lm_head.weight", embedding);
  return names;
}

}  // namespace gaggle
