// The names and shapes of a Llama-shaped decoder's tensors, as Hugging Face spells them.
#include <algorithm>

#include "formats/model_files.h"

namespace gaggle {

std::vector<WeightInfo> expected_weights(const ModelSpec& spec) {
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
    if (spec.qk_norm) {
      weights.push_back({block + "self_attn.q_norm.weight", {spec.head_dim}});
      weights.push_back({block + "self_attn.k_norm.weight", {spec.head_dim}});
    }
  }
  std::sort(weights.begin(), weights.end(),
            [](const WeightInfo& left, const WeightInfo& right) { return left.name < right.name; });
  return weights;
}

}  // namespace gaggle
